-- One visit to one pin: whoever comes first holds it, and may hold it again for longer.
--
-- KEYS  {tag}:kind; the tag is the pin's own, so that no claim needs to be on its node.
-- ARGV  holder, for how many milliseconds, and 1 if it may be taken: 0 when its owner has too many.
-- Returns ok, held (by another) or quota (free, and may not be taken), and '' in place of an epoch's beginning: pins have no epoch. One
-- that Redis lost (a restart, a failover, a flush) is taken again by the next who uses the thing.
--
-- A hash, not a string: the sidecar's role may read no string of the ledger, and needs not for this.
-- What is held is read before anything is written, so that a Redis which takes no writes still turns
-- another holder away. Both changes are one script's, so that no pin stays without an end.

local holder = redis.call('HMGET', KEYS[1], 'holder')[1]
if holder and holder ~= ARGV[1] then return {'held', ''} end
if not holder and ARGV[3] ~= '1' then return {'quota', ''} end
if holder then
  redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT') -- a clock that is behind shortens nothing
else
  redis.call('HSET', KEYS[1], 'holder', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {'ok', ''}
