-- The running service: where it is, what it wants to see, and requests to it by curl.
-- Nothing here blocks: answers come to callbacks, on the main loop.
local M = {}

local uv = vim.uv or vim.loop

local function read(path)
  local file = io.open(path, "r")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

--- The folder in which coho keeps its data, as coho itself finds it.
function M.home()
  local home = require("coho").options.home
  if home and home ~= "" then
    return vim.startswith(home, "~/") and vim.fn.expand("~") .. home:sub(2) or home
  end
  local set = vim.env.COHO_HOME
  if set and set ~= "" then
    return set
  end
  if vim.fn.has("mac") == 1 then
    return vim.fn.expand("~/Library/Application Support/coho")
  end
  local data = vim.env.XDG_DATA_HOME
  if not data or not vim.startswith(data, "/") then
    data = vim.fn.expand("~/.local/share")
  end
  return data .. "/coho"
end

-- Is the process that announced itself alive, and a coho? Of one that was killed the announcement
-- stays: whoever listens at its address is not to be told the token.
local function is_ours(pid)
  -- Somebody else's process is refused to us, too.
  if type(pid) ~= "number" or pid < 1 or uv.kill(pid, 0) ~= 0 then
    return false
  end
  -- On Linux: what runs, as another process may have its number by now, and whether it is only
  -- waiting to be buried.
  local name, state = (read("/proc/" .. pid .. "/stat") or ""):match("%((.*)%) (%a)")
  if not name then
    return true
  end
  local program = uv.fs_readlink("/proc/" .. pid .. "/exe") or ""
  return not state:find("[ZXx]") and (name:find("coho") or program:find("coho[^/]*$")) ~= nil
end

-- Is this address surely one of this machine?
local function is_here(address)
  local host = address:lower():gsub("^https?://", ""):match("^[^/]*"):gsub(":%d+$", "")
  return host == "localhost" or host == "[::1]" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

--- Address and token of the service, or what to do to have one.
function M.find()
  local home = M.home()
  local options = require("coho").options
  local address = options.address
  if not address then
    local said = read(home .. "/service.json")
    local ok, announced = pcall(vim.json.decode, said or "")
    if not ok or type(announced) ~= "table" or not announced.address or not is_ours(announced.pid) then
      return nil, "no coho is running on " .. home .. ": start `coho serve`"
    end
    address = "http://" .. announced.address
  end
  local token = options.token
  -- The one of the data folder is for this machine.
  if not token and options.address and not is_here(address) then
    return nil, address .. " is another machine: set the `token` that `coho token add` made there"
  end
  token = token or read(home .. "/token")
  if not token then
    return nil, "there is no token in " .. home .. ": is that the data folder of `coho status`?"
  end
  return { address = address:gsub("/+$", ""), token = vim.trim(token) }
end

-- The characters of UTF-8 that are no ASCII, as the Unicode standard lists them (table 3-7).
local CHARACTERS = {
  "^[\194-\223][\128-\191]",
  "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

local function character_at(bytes, at)
  for _, pattern in ipairs(CHARACTERS) do
    local _, last = bytes:find(pattern, at)
    if last then
      return bytes:sub(at, last)
    end
  end
end

--- Text as JSON takes it: a byte that is no text, as a buffer may hold one, is told as U+FFFD.
function M.clean(text)
  return (text:gsub("[\128-\255]+", function(bytes)
    local kept, at = {}, 1
    while at <= #bytes do
      local character = character_at(bytes, at)
      table.insert(kept, character or "\239\191\189")
      at = at + (character and #character or 1)
    end
    return table.concat(kept)
  end))
end

-- A string as curl's config files want it.
local function quoted(text)
  local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
  return '"' .. text:gsub('[\\"\n\r\t]', escapes) .. '"'
end

local function said_by(body, status)
  local ok, problem = pcall(vim.json.decode, body)
  if ok and type(problem) == "table" and problem.detail then
    if problem.code == "no_such_route" then
      return "this coho is too old for the plugin: it lacks a route"
    end
    if type(problem.hint) == "string" then
      return problem.detail .. ": " .. problem.hint
    end
    return problem.detail
  end
  return "coho answered with status " .. status
end

-- What curl takes in a line of its settings; far more than any question.
local MOST_BYTES = 64 * 1024

--- After so long without a byte, a service that hangs is given up. A stream is never quiet for longer
--- than 15 seconds while somebody writes to it.
M.quiet_s = 60

local MARK = "coho-status:"

-- The settings of curl. By stdin: the token is in no list of processes.
local function config(service, method, path, sent)
  local lines = {
    "url = " .. quoted(service.address .. path),
    "request = " .. quoted(method),
    "header = " .. quoted("Authorization: Bearer " .. service.token),
    "noproxy = \"*\"",
    "write-out = " .. quoted("\n" .. MARK .. "%{http_code}"),
  }
  if sent then
    table.insert(lines, 'header = "Content-Type: application/json"')
    table.insert(lines, "data-raw = " .. quoted(sent))
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Sends a request. `done(error, value, status)` is called once, and later, with the status of an answer
--- that is an error; `event(name, value)` for every server-sent event before it. Returns what stops it; nothing where nothing is sent.
function M.call(method, path, body, done, event)
  local service, why_not = M.find()
  local sent = body and vim.json.encode(vim.tbl_map(function(value)
    return type(value) == "string" and M.clean(value) or value
  end, body))
  -- As it is quoted: of a text full of quotes that is twice as much.
  if service and sent and #quoted(sent) > MOST_BYTES then
    why_not = "that is too much for one question (" .. math.floor(#sent / 1024) .. " KiB): select less"
  elseif service and vim.fn.executable("curl") == 0 then
    why_not = "curl is missing: install it"
  end
  if why_not then
    vim.schedule(function()
      done(why_not)
    end)
    return nil
  end
  local rest, lines, name, stopped = "", {}, "", false
  local status, patience
  local silent, hangs = 0, false
  local function line_came(line)
    if vim.startswith(line, MARK) then
      status = tonumber(line:sub(#MARK + 1))
    elseif event and vim.startswith(line, "event: ") then
      name = line:sub(8)
    elseif event and vim.startswith(line, "data: ") then
      local ok, value = pcall(vim.json.decode, line:sub(7))
      if ok and not stopped then
        event(name, value)
      end
    else
      table.insert(lines, line)
    end
  end
  -- -q: nothing of what ~/.curlrc asks for.
  local job = vim.fn.jobstart({ "curl", "-q", "--silent", "--no-buffer", "--connect-timeout", "5", "--config", "-" }, {
    on_stdout = function(_, pieces)
      silent = 0
      rest = rest .. pieces[1]
      for at = 2, #pieces do
        line_came(rest)
        rest = pieces[at]
      end
    end,
    on_exit = function(_, code)
      vim.fn.timer_stop(patience)
      line_came(rest)
      -- Who leaves Neovim stops it, too.
      if stopped or vim.v.exiting ~= vim.NIL then
        return
      end
      if code == 7 then
        done("coho does not answer at " .. service.address .. ": start `coho serve`")
      elseif hangs or code == 28 then
        done("coho at " .. service.address .. " hangs, or cannot be reached: try again, or start `coho serve` anew")
      elseif code ~= 0 then
        done("the connection to coho broke off (curl says " .. code .. "); try again")
      elseif status >= 400 then
        done(said_by(table.concat(lines, "\n"), status), nil, status)
      else
        local text = vim.trim(table.concat(lines, "\n"))
        local ok, value = pcall(vim.json.decode, text)
        done(nil, ok and value or nil)
      end
    end,
  })
  -- By steps: where Neovim itself stood still, what came meanwhile is read after one of them. Curl's
  -- own limit of speed takes the few bytes that say "not yet" for none.
  patience = vim.fn.timer_start(M.quiet_s * 250, function()
    silent = silent + 1
    if silent > 4 then
      hangs = true
      vim.fn.jobstop(job)
    end
  end, { ["repeat"] = -1 })
  vim.fn.chansend(job, config(service, method, path, sent))
  vim.fn.chanclose(job, "stdin")
  return function()
    stopped = true
    vim.fn.jobstop(job)
  end
end

return M
