-- The closed loop of benchmarks/closed_loop.py, for wrk with one thread. Arguments: the kind of
-- message, how many conversations, a prefix for their ids, and one for the ids of messages.
-- A conversation is used again only after its answer has come: two of its messages are never in
-- flight together.

counts = {}

local kind, conversations, prefix, run
local free, first, last = {}, 1, 0
local sent, made = 0, 0
local text = string.rep("I would like to book an appointment. ", 3)
local message = '{"conversation_id":"%s-%d","message_id":"%s-%d-%d","message_content":"%s",'
  .. '"sender_id":"user_%d","sender_type":"user","timestamp":%d.%03d}'
local history = '{"conversation_id":"%s-%d","history":"<USER>%s %s %d</USER><br>"}'

function init(arguments)
  kind, conversations, prefix, run = unpack(arguments)
  conversations = tonumber(conversations)
  wrk.method = "POST"
end

local function next_conversation()
  if made < conversations or first > last then
    made = made + 1
    return made
  end
  local number = free[first]
  free[first] = nil
  first = first + 1
  return number
end

function request()
  sent = sent + 1
  local number = next_conversation()
  if kind == "chat" then
    wrk.headers["Idempotency-Key"] = string.format("%s-%d-%d", run, number, sent)
    return wrk.format(nil, nil, nil, string.format(history, prefix, number, text, run, sent))
  end
  return wrk.format(nil, nil, nil, string.format(
    message, prefix, number, run, number, sent, text, number, os.time(), sent % 1000))
end

local function count(what)
  counts[what] = (counts[what] or 0) + 1
end

function response(status, headers, body)
  local number
  if kind == "chat" then
    number = string.match(body, '"conversation_id":"[^"]*%-(%d+)"')
  else
    number = string.match(body, '"message_id":"[^"]*%-(%d+)%-%d+"')
  end
  if number then
    last = last + 1
    free[last] = tonumber(number)
  end
  count(status == 200 and string.match(body, '"status":"([%w_]+)"') or "http_" .. status)
end

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function done(summary, latency, requests)
  local parts = {}
  for _, thread in ipairs(threads) do
    for what, number in pairs(thread:get("counts")) do
      parts[#parts + 1] = string.format('"%s":%d', what, number)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"seconds":%.6f,"requests":%d,"least_ms":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,'
      .. '"broken":%d,"counts":{%s}}\n',
    summary.duration / 1e6, summary.requests, latency.min / 1e3, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ",")))
end
