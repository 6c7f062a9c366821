-- What `require "quarterdeck"` gives a Lua script, and how the script is run; `lua.py` calls the function at the end.

local function traceback(problem)
  if type(problem) ~= "string" then
    local meta = getmetatable(problem)
    if meta and meta.__tostring then
      problem = tostring(problem)
    else
      problem = "(error object is a " .. type(problem) .. " value)"
    end
  end
  return debug.traceback(problem, 2)
end

local function module(to_json, from_json)
  local quarterdeck = {}

  function quarterdeck.text() -- what was passed as data
    return io.read("a")
  end

  function quarterdeck.data() -- the same, from its JSON; nil when there is none
    local passed = io.read("a")
    if passed:find("%S") then
      return from_json(passed)
    end
  end

  function quarterdeck.message(level, text) -- several lines stay one message
    text = tostring(text):gsub("\n$", "")
    if text:find("\n") then
      text = ("\n" .. text .. "\n"):gsub("\n:::%f[\r\n]", "\n :::"):sub(2, -2)
      io.write(string.format("%d:::\n%s\n:::\n", level, text))
    else
      io.write(string.format("%d::%s\n", level, text))
    end
  end

  function quarterdeck.result(value) -- what the job returns, as JSON
    io.write("20::", to_json(value), "\n")
  end

  function quarterdeck.stat(sample) -- statsd, such as "backup.seconds:12|ms"
    io.write("10::", sample, "\n")
  end

  return quarterdeck
end

-- The runtime has no io.popen of its own: `spawn` gives a path to open and a function that waits for the exit code.
local function open_programs(spawn)
  local waiting = setmetatable({}, { __mode = "k" })
  local methods = getmetatable(io.stdout).__index
  local close = methods.close

  function io.popen(program, mode)
    mode = mode or "r"
    if mode ~= "r" and mode ~= "w" then
      error("bad argument #2 to 'popen' (invalid mode)", 2)
    end
    local path, opened, wait = spawn(program, mode)
    local file = assert(io.open(path, mode))
    opened()
    waiting[file] = wait
    return file
  end

  function methods.close(file)
    local wait = waiting[file]
    if not wait then
      return close(file)
    end
    close(file)
    local code = wait()
    return code == 0 or nil, code < 0 and "signal" or "exit", math.abs(code)
  end

  function io.close(file)
    return (file or io.output()):close()
  end
end

return function(to_json, from_json, spawn, title, path, ...)
  open_programs(spawn)
  io.stdout:setvbuf("line") -- messages leave as they are written
  package.preload["quarterdeck"] = function()
    return module(to_json, from_json)
  end
  arg = { [0] = path, ... }
  local source, problem = io.open(path, "rb")
  local chunk
  if source then
    local text = source:read("a")
    source:close()
    text = text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "") -- a byte order mark, and a line for the system
    chunk, problem = load(text, "@" .. title, "t")
  end
  if not chunk then
    io.stderr:write("lua: ", problem, "\n")
    return 1
  end
  local done, failure = xpcall(chunk, traceback, ...)
  if not done then
    io.stderr:write("lua: ", failure, "\n")
    return 1
  end
  return 0
end
