-- For wrk: makes one call again and again, and looks at every answer.
--
-- Arguments: the file with the request's bytes, the name of a response header, and the value that
-- it has in a right answer, whose status is 200. The last line of output is for bench/wrk.py.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  call = file:read("*a")
  file:close()
  header, wanted = arguments[2], arguments[3]
  right, wrong, first_wrong = 0, 0, ""
end

function request()
  return call
end

function response(status, headers)
  local value = headers[header]
  if status == 200 and value == wanted then
    right = right + 1
  else
    wrong = wrong + 1
    if wrong == 1 then
      first_wrong = string.format("status %d, %s: %s", status, header, value or "None")
    end
  end
end

function done(summary, latency)
  local right, wrong, first = 0, 0, ""
  for _, thread in ipairs(threads) do
    right = right + thread:get("right")
    wrong = wrong + thread:get("wrong")
    first = first ~= "" and first or thread:get("first_wrong")
  end
  local errors = summary.errors
  io.write(string.format(
    '{"right": %d, "wrong": %d, "first_wrong": "%s", "unanswered": %d, "microseconds": %d, '
      .. '"p50_us": %d, "p99_us": %d}\n',
    right, wrong, (first:gsub('[%c"\\]', "?")),
    errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)
  ))
end
