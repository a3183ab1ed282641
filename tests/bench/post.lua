-- The load of every throughput figure: one POST, its body and headers handed in by the harness.
local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

wrk.method = "POST"
wrk.body = read(os.getenv("BENCH_BODY"))

-- "@@" in a body is another number in each request, so that no two of them are alike.
if wrk.body:find("@@", 1, true) then
  local before, after = wrk.body:match("^(.*)@@(.*)$")
  local number = os.time() * 100000 -- no load begins where another one did
  function request()
    number = number + 1
    return wrk.format(nil, nil, nil, before .. string.format("%.0f", number) .. after)
  end
end

for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\n]+): ([^\n]*)\n") do
  wrk.headers[name] = value
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "p50_us": %d, "p90_us": %d, "p99_us": %d, "errors": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
