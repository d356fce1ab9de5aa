-- Asking, searching, and what is related; see `:help coho`.
local M = {}

M.options = {
  -- The data folder; found as coho finds it.
  home = nil,
  -- Another address and token than those of the service on that folder.
  address = nil,
  token = nil,
  -- How wide the window of answers is.
  width = 72,
  -- Where hits go: "auto" for telescope or fzf-lua where they are there and the quickfix list else;
  -- "telescope", "fzf-lua", "quickfix", or "select" for whatever stands behind vim.ui.select.
  hits = "auto",
  -- Hits at most.
  k = 20,
}

--- Sets options; not needed to use the plugin.
function M.setup(options)
  M.options = vim.tbl_extend("force", M.options, options or {})
end

local function tell(text, level)
  vim.notify("coho: " .. text, level or vim.log.levels.ERROR)
end

local function service()
  return require("coho.service")
end

-- The answer at hand: its buffer, its id, its citations, and what stops it.
local at_hand = {}

-- What the window of answers has of its own.
local LOOKS = { wrap = true, linebreak = true }

-- Sets an option of one window; others, and those that come, keep theirs.
local function set_here(window, name, value)
  vim.api.nvim_win_call(window, function()
    vim.api.nvim_set_option_value(name, value, { scope = "local" })
  end)
end

-- Is this window bound to the buffer that it shows? None is before Neovim 0.10.
local function is_bound(window)
  return vim.fn.exists("+winfixbuf") == 1 and vim.wo[window].winfixbuf
end

local function unbind(window)
  if is_bound(window) then
    set_here(window, "winfixbuf", false)
  end
end

-- Has a window look as windows do: one that is split off that of answers looks like it.
local function as_others(window)
  unbind(window)
  for name in pairs(LOOKS) do
    set_here(window, name, vim.api.nvim_get_option_value(name, { scope = "global" }))
  end
end

local function buffer()
  if at_hand.buffer and vim.api.nvim_buf_is_loaded(at_hand.buffer) then
    return at_hand.buffer
  end
  -- What a session, or the plugin before it was loaded anew, left under the name.
  local left = vim.fn.bufnr("^coho://answer$")
  if left ~= -1 then
    vim.api.nvim_buf_delete(left, { force = true })
  end
  local made = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_name(made, "coho://answer")
  -- Plugins for Markdown fetch the images of what they take for it, and so tell whoever wrote a note
  -- that it was asked about. It has the colours alone.
  vim.bo[made].filetype = "coho"
  vim.bo[made].syntax = "markdown"
  vim.bo[made].bufhidden = "hide"
  local function key(keys, run)
    vim.api.nvim_buf_set_keymap(made, "n", keys, "", { callback = run, noremap = true, silent = true })
  end
  key("gf", M.follow)
  key("<CR>", M.follow)
  key("+", M.good)
  key("-", M.bad)
  key("q", function()
    -- The last window cannot be closed.
    if not pcall(vim.cmd, "close") then
      vim.cmd("enew")
      as_others(vim.api.nvim_get_current_win())
    end
  end)
  key("<C-c>", M.stop)
  at_hand.buffer = made
  return made
end

local function window()
  local shown = vim.fn.bufwinid(buffer())
  if shown ~= -1 then
    return shown
  end
  local before = vim.api.nvim_get_current_win()
  vim.cmd("botright vertical " .. M.options.width .. "split")
  local made = vim.api.nvim_get_current_win()
  -- It was split off another.
  unbind(made)
  vim.api.nvim_win_set_buf(made, buffer())
  for name, value in pairs(LOOKS) do
    set_here(made, name, value)
  end
  vim.api.nvim_set_current_win(before)
  return made
end

local function show(lines)
  local to = buffer()
  vim.bo[to].modifiable = true
  vim.api.nvim_buf_set_lines(to, 0, -1, false, lines)
  vim.bo[to].modifiable = false
end

local function append(text)
  local to = buffer()
  local last = vim.api.nvim_buf_line_count(to) - 1
  local line = vim.api.nvim_buf_get_lines(to, last, last + 1, false)[1]
  vim.bo[to].modifiable = true
  vim.api.nvim_buf_set_text(to, last, #line, last, #line, vim.split(text, "\n"))
  vim.bo[to].modifiable = false
end

local function place(citation)
  local lines = citation.lines
  if type(lines) == "table" then
    return citation.path .. ":" .. lines[1]
  end
  if type(citation.page) == "number" then
    return citation.path .. " page " .. citation.page
  end
  return citation.path
end

-- What [?] in the answer means; nothing where every claim is supported.
local function doubt(claims)
  local loose, missing = false, {}
  for _, claim in ipairs(claims or {}) do
    if not claim.supported then
      loose = true
      vim.list_extend(missing, claim.missing)
    end
  end
  if not loose then
    return nil
  end
  local what = #missing > 0 and ": they do not hold " .. table.concat(missing, ", ") or ""
  return (("[?] your notes do not support this" .. what):gsub("%s+", " "))
end

-- The question above, the whole answer, and where its marks lead.
local function finished(question, answer)
  local lines = { "> " .. question:gsub("%s+", " "), "" }
  vim.list_extend(lines, vim.split(answer.answer, "\n"))
  table.insert(lines, "")
  for _, citation in ipairs(answer.citations) do
    table.insert(lines, "[" .. citation.n .. "] " .. place(citation))
  end
  local doubted = doubt(answer.claims)
  if doubted then
    table.insert(lines, doubted)
  end
  show(lines)
  at_hand.id = answer.id
  at_hand.citations = answer.citations
end

local function selected(given)
  if given.range == 0 then
    return given.args
  end
  local lines = vim.api.nvim_buf_get_lines(0, given.line1 - 1, given.line2, false)
  local text = vim.trim(table.concat(lines, "\n"))
  return given.args == "" and text or given.args .. "\n" .. text
end

-- Stops the answer that is being written; what is there stays.
local function stop_answer()
  if at_hand.stop then
    at_hand.stop()
    at_hand.stop = nil
  end
end

-- Only the last search is told of: one before it is stopped, whose hits would stand over the newer ones.
local searches = { count = 0 }

local function stop_search()
  searches.count = searches.count + 1
  if searches.stop then
    searches.stop()
    searches.stop = nil
  end
end

--- Stops the answer that is being written, and a search.
function M.stop()
  stop_answer()
  stop_search()
end

--- Asks; the answer is written into a window of its own while it comes.
function M.ask(given)
  local question = vim.trim(selected(given))
  if question == "" then
    vim.ui.input({ prompt = "Ask your notes: " }, function(typed)
      if typed and vim.trim(typed) ~= "" then
        M.ask({ args = typed, range = 0 })
      end
    end)
    return
  end
  local ended, stop = false, nil
  local function heard(name, value)
    if name == "token" then
      append(value.text)
    elseif name == "citation" then
      table.insert(at_hand.citations, value)
    elseif name == "done" then
      ended = true
      finished(question, value)
    elseif name == "error" then
      ended = true
      tell(value.detail or "the answer failed")
    end
  end
  local body = { question = question, stream = true }
  stop = service().call("POST", "/v1/ask", body, function(failed)
    if stop then
      at_hand.stop = nil
    end
    if failed then
      tell(failed)
    elseif not ended then
      tell("the answer broke off; ask again")
    end
  end, heard)
  -- Where nobody can be asked, the last answer stays.
  if not stop then
    return
  end
  stop_answer()
  window()
  show({ "> " .. vim.fn.strcharpart(question:gsub("%s+", " "), 0, 500), "", "" })
  at_hand.id, at_hand.citations, at_hand.stop = nil, {}, stop
end

-- The citation that the cursor is on: in a mark [n], or in the line of one.
local function under_cursor()
  local line = vim.api.nvim_get_current_line()
  local column = vim.api.nvim_win_get_cursor(0)[2] + 1
  local wanted, from = nil, 1
  while not wanted do
    local first, last, n = line:find("%[(%d+)%]", from)
    if not first then
      break
    end
    if first <= column and column <= last then
      wanted = n
    end
    from = last + 1
  end
  wanted = wanted or line:match("^%[(%d+)%] ")
  for _, citation in ipairs(at_hand.citations or {}) do
    if citation.n == tonumber(wanted) then
      return citation
    end
  end
end

-- The name on disk of what is told as `gar\xE7on.md`, where a byte is no text.
local function on_disk(path)
  local bytes = path:gsub("\\x(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  local told = vim.fn.filereadable(path) == 1 or vim.fn.filereadable(bytes) == 0
  return told and path or bytes
end

local function is_there(path)
  if vim.fn.filereadable(path) == 1 then
    return true
  end
  tell(path .. " is not there any more: search for what it said")
  return false
end

-- Opens a file with the program that the system has for it: of a PDF, Neovim would show the bytes.
local function open_outside(path)
  if not is_there(path) then
    return false
  end
  if vim.ui.open then
    local _, failed = vim.ui.open(path)
    if failed then
      tell(failed)
    end
    return not failed
  end
  -- Before Neovim 0.10.
  local opener = vim.fn.has("mac") == 1 and "open" or "xdg-open"
  if vim.fn.executable(opener) == 0 then
    tell("nothing opens " .. path .. ": install " .. opener)
    return false
  end
  return vim.fn.jobstart({ opener, path }, { detach = true }) > 0
end

-- Goes to a window that shows a file and may show another, no answer, list, file tree or terminal:
-- this one, the one before, any, a new one.
local function to_files()
  local windows = { vim.api.nvim_get_current_win(), vim.fn.win_getid(vim.fn.winnr("#")) }
  vim.list_extend(windows, vim.api.nvim_tabpage_list_wins(0))
  for _, one in ipairs(windows) do
    local shown = one ~= 0 and vim.api.nvim_win_get_buf(one)
    local takes_files = shown and vim.bo[shown].buftype == "" and not is_bound(one)
    if takes_files and vim.api.nvim_win_get_config(one).relative == "" then
      vim.api.nvim_set_current_win(one)
      return
    end
  end
  -- No new buffer: nobody would need it.
  vim.cmd("leftabove vsplit")
  as_others(vim.api.nvim_get_current_win())
end

-- Opens a file at a line; one that has no lines, outside.
local function open(path, line, outside)
  path = on_disk(path)
  if outside then
    return open_outside(path)
  end
  if not is_there(path) then
    return false
  end
  to_files()
  -- By number: a name may hold a newline, behind which a command would begin. An unsaved buffer is
  -- hidden, never lost; what is open already is not read again.
  vim.cmd("normal! m'")
  local wanted = vim.fn.bufadd(path)
  vim.bo[wanted].buflisted = true
  local done, why = pcall(vim.cmd, "hide buffer " .. wanted)
  if not done then
    tell(tostring(why))
    return false
  end
  local last = vim.api.nvim_buf_line_count(0)
  vim.api.nvim_win_set_cursor(0, { math.max(1, math.min(line or 1, last)), 0 })
  -- Out of a fold that is closed.
  vim.cmd("normal! zv")
  return true
end

--- Follows the citation under the cursor to its file and line; a file that is not cited by lines
--- is opened outside.
function M.follow()
  local citation = under_cursor()
  if not citation then
    tell("there is no citation under the cursor", vim.log.levels.WARN)
    return
  end
  local lined = type(citation.lines) == "table"
  local opened = open(citation.path, lined and citation.lines[1], not lined)
  if opened and at_hand.id then
    service().call("POST", "/v1/answers/" .. at_hand.id .. "/signals", { kind = "opened" }, function() end)
  end
end

local function judge(verdict)
  if not at_hand.id then
    tell("there is no answer to judge yet: `:CohoAsk` first", vim.log.levels.WARN)
    return
  end
  service().call("POST", "/v1/answers/" .. at_hand.id .. "/feedback", { verdict = verdict }, function(failed)
    if failed then
      tell(failed)
    else
      tell("noted: " .. verdict, vim.log.levels.INFO)
    end
  end)
end

function M.good()
  judge("good")
end

function M.bad()
  judge("bad")
end

local function item(hit)
  local lined = type(hit.lines) == "table"
  local heading = type(hit.heading) == "string" and hit.heading .. ": " or ""
  local text = vim.fn.strcharpart(hit.text:gsub("%s+", " "), 0, 200)
  return { filename = on_disk(hit.path), lnum = lined and hit.lines[1] or 1, text = heading .. text, outside = not lined }
end

local function list(title, items)
  if #items == 0 then
    tell("nothing was found", vim.log.levels.INFO)
    return
  end
  if require("coho.pick").pick(M.options.hits, title, items, open) then
    return
  end
  -- What has no lines is named there and not gone to: Neovim would show its bytes.
  local gone_to = vim.tbl_map(function(one)
    return one.outside and { text = one.filename .. ": " .. one.text } or one
  end, items)
  vim.fn.setqflist({}, " ", { title = title, items = gone_to })
  vim.cmd("botright copen")
end

--- Hits for a query, as quickfix items. `found(error, items)` is called once.
function M.find(body, found)
  body.k = body.k or M.options.k
  return service().call("POST", "/v1/search", body, function(failed, value)
    if failed or not value then
      found(failed or "coho said nothing", {})
      return
    end
    found(nil, vim.tbl_map(item, value.hits))
  end)
end

local function find_last(body, found)
  stop_search()
  local mine = searches.count
  searches.stop = M.find(body, function(failed, items)
    if mine == searches.count then
      found(failed, items)
    end
  end)
end

--- Searches, with words, "phrases", -without and filters such as tag:work.
function M.search(given)
  local query = vim.trim(given.args or "")
  if query == "" then
    vim.ui.input({ prompt = "Search your notes: " }, function(typed)
      if typed and vim.trim(typed) ~= "" then
        M.search({ args = typed })
      end
    end)
    return
  end
  find_last({ query = query }, function(failed, items)
    if failed then
      tell(failed)
    else
      list("coho: " .. query, items)
    end
  end)
end

--- What other notes say about the paragraph under the cursor.
function M.related()
  local here = vim.api.nvim_win_get_cursor(0)[1]
  local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  local first, last = here, here
  while first > 1 and vim.trim(lines[first - 1]) ~= "" do
    first = first - 1
  end
  while last < #lines and vim.trim(lines[last + 1]) ~= "" do
    last = last + 1
  end
  local text = vim.trim(table.concat(vim.list_slice(lines, first, last), "\n"))
  if text == "" then
    tell("there is no paragraph under the cursor", vim.log.levels.WARN)
    return
  end
  local own = vim.loop.fs_realpath(vim.api.nvim_buf_get_name(0))
  local query = vim.fn.strcharpart(text, 0, 2000)
  find_last({ query = query, literal = true }, function(failed, items)
    if failed then
      tell(failed)
      return
    end
    local others = vim.tbl_filter(function(hit)
      return hit.filename ~= own
    end, items)
    list("coho: related", others)
  end)
end

return M
