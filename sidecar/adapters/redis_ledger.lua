-- One visit to one hash tag: makes sure of the epoch, then claims all or nothing.
--
-- KEYS  {tag}:epoch, then a claim's key and its owner's key for each claim; all of one hash tag.
-- ARGV  now, tolerance, patience, ahead (all in seconds), insist (1 or 0), then for each claim
--       until and issued_at ('' for none), in seconds since the epoch, and its owner's quota.
-- Returns a word and why a new epoch began ('' when none did):
--       ok, claimed_before, not_remembered, quota, clock, jumped, not_master.
--
-- All that is read is read before the first write: when Redis takes no writes (no memory, too few
-- replicas, a replica itself) a claim that was made is still seen, and a failed first write has
-- changed nothing. The first write is the only one that can fail.

local now, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local patience, ahead = tonumber(ARGV[3]), tonumber(ARGV[4])
local insist = ARGV[5] == '1'
local SEEN_EVERY = 0.25 -- seconds: many visitors need not all write

-- What ARGV says of the claim whose key stands at this place of KEYS.
local function told(at)
  local first = 6 + (at - 2) / 2 * 3
  return tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
end
local function exact(number) return string.format('%.17g', number) end

local claimed = false
for at = 2, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[at]) == 1 then claimed = true end
end

-- Who remembers: run_id changes with every start, master_replid with every promotion of this node,
-- also under a connection that saw neither; evicted_keys with every key thrown out for room.
local info = redis.call('INFO', 'server', 'replication', 'stats')
local node = string.match(info, '\nrun_id:(%x+)')
  .. ' ' .. string.match(info, '\nmaster_replid:(%x+)')
  .. ' ' .. string.match(info, '\nevicted_keys:(%d+)')
if not string.find(info, '\nrole:master', 1, true) then
  return {claimed and 'claimed_before' or 'not_master', ''}
end

local time = redis.call('TIME')
local here = tonumber(time[1]) + tonumber(time[2]) / 1000000
local epoch = redis.call('HMGET', KEYS[1], 'node', 'since', 'offset', 'seen')
local since, offset, seen = tonumber(epoch[2] or ''), tonumber(epoch[3] or ''), tonumber(epoch[4] or '')
local began = ''
if not (epoch[1] and since and offset and seen) then
  began = 'none'
elseif epoch[1] ~= node then
  began = 'node'
elseif math.abs(here - now - offset) > tolerance then
  -- One of two clocks jumped. Somebody who agrees with the epoch was here a moment ago by Redis'
  -- own clock: then it is the visitor's. Nobody was, or only in the future: then it is Redis'.
  -- A visit may also have lain in a buffer while Redis stood still, and its now with it: an epoch
  -- begins only for a visitor who has heard that the clock jumped, and insists.
  local jumped = seen > here or here - seen > patience
  if not (jumped and insist) then
    return {claimed and 'claimed_before' or jumped and 'jumped' or 'clock', ''}
  end
  began = 'clock'
end

if began ~= '' then
  since, offset = now + ahead, here - now
  local wrote = redis.pcall('HSET', KEYS[1],
    'node', node, 'since', exact(since), 'offset', exact(offset), 'seen', exact(here))
  if type(wrote) == 'table' and wrote.err then
    return claimed and {'claimed_before', ''} or wrote
  end
elseif #KEYS == 1 and here - seen > SEEN_EVERY then
  redis.pcall('HSET', KEYS[1], 'seen', exact(here)) -- without room for it, the epoch still holds
end

local wanted, room = {}, {}
for at = 2, #KEYS, 2 do
  local owner = KEYS[at + 1]
  local _, issued_at, quota = told(at)
  if not issued_at or issued_at < since then return {'not_remembered', began} end
  wanted[owner] = (wanted[owner] or 0) + 1
  room[owner] = math.min(room[owner] or quota, quota)
end
if claimed then return {'claimed_before', began} end
for owner, more in pairs(wanted) do
  if redis.call('ZCOUNT', owner, '(' .. exact(now), '+inf') + more > room[owner] then
    return {'quota', began}
  end
end

-- By the epoch's offset, not this visitor's: whoever agrees with the epoch to within the tolerance
-- still finds the claim at its until.
local function lifetime(last)
  return string.format('%.0f', math.max(1, math.ceil((last + offset + tolerance - here) * 1000)))
end
for at = 2, #KEYS, 2 do
  local claim, owner, last = KEYS[at], KEYS[at + 1], told(at)
  redis.call('SET', claim, '', 'PX', lifetime(last))
  redis.call('ZADD', owner, exact(last), claim)
  redis.call('ZREMRANGEBYSCORE', owner, '-inf', exact(now))
  local longest = redis.call('ZREVRANGE', owner, 0, 0, 'WITHSCORES')[2]
  if longest then redis.call('PEXPIRE', owner, lifetime(tonumber(longest))) end
end
return {'ok', began}
