-- Run headless by tests/connectors.py against a real `coho serve` on the sample vault.
-- COHO_HOME leads to it; COHO_NOTES is the folder of notes.
local failures = 0

local function check(name, condition, said)
  io.stdout:write((condition and "ok   " or "FAIL ") .. name .. "\n")
  if not condition then
    failures = failures + 1
    io.stdout:write("     " .. vim.inspect(said) .. "\n")
  end
end

local told = {}
vim.notify = function(text)
  table.insert(told, text)
end

local function wait(what)
  return vim.wait(60000, what, 5)
end

local function lines_of(name)
  local buffer = vim.fn.bufnr(name)
  return buffer == -1 and {} or vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
end

local function answer()
  return table.concat(lines_of("coho://answer"), "\n")
end

local function last()
  return told[#told] or ""
end

local coho = require("coho")
local notes, home = vim.env.COHO_NOTES, vim.env.COHO_HOME

-- Asking, and following a citation to its line.
vim.cmd("CohoAsk What float voltage is the charge controller set to?")
check("an answer is written", wait(function()
  return answer():find("\n%[1%] ") ~= nil
end) and answer():find("13.6", 1, true), answer())
local window = vim.fn.bufwinid("coho://answer")
check("in a window of its own", window ~= -1 and window ~= vim.api.nvim_get_current_win())
vim.api.nvim_set_current_win(window)
vim.fn.search("^\\[1\\] ")
local cited = vim.api.nvim_get_current_line()
coho.follow()
local at = vim.api.nvim_buf_get_name(0) .. ":" .. vim.api.nvim_win_get_cursor(0)[1]
check("a citation leads to file and line", cited == "[1] " .. at, { cited, at })
check("where it stands", vim.api.nvim_get_current_line():find("13.6", 1, true), vim.api.nvim_get_current_line())

-- Feedback reaches the service.
vim.cmd("CohoGood")
check("feedback is taken", wait(function()
  return last() == "coho: noted: good"
end), told)

-- A mark in the text leads to the same place.
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.cmd("normal! gg")
vim.fn.search("\\[1\\]")
check("a mark stands in the text", not vim.api.nvim_get_current_line():find("^%[1%] "), vim.api.nvim_get_current_line())
coho.follow()
check("so does its mark", vim.api.nvim_buf_get_name(0) .. ":" .. vim.api.nvim_win_get_cursor(0)[1] == at)

-- An unsaved buffer is not lost, and can be asked about.
vim.cmd("enew")
vim.api.nvim_buf_set_lines(0, 0, -1, false, { "I wrote this and did not save it.", "", "the charge controller" })
local unsaved = vim.api.nvim_get_current_buf()
vim.cmd("3CohoAsk What do my notes say of")
check("lines are asked about", wait(function()
  return answer():find("charge controller", 1, true) and answer():find("\n%[1%] ") ~= nil
end), answer())
vim.cmd("3")
vim.cmd("CohoRelated")
check("related notes are listed", wait(function()
  return #vim.fn.getqflist() > 0
end), told)
local first = vim.fn.getqflist()[1]
check("with files that are there", vim.fn.filereadable(vim.fn.bufname(first.bufnr)) == 1, first)
vim.cmd("cclose")
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.fn.search("^\\[1\\] ")
coho.follow()
check("the unsaved buffer is there", vim.api.nvim_buf_get_lines(unsaved, 0, 1, false)[1]:find("did not save") ~= nil)

-- A file that is being changed is gone to and not read again, from beside a list, too.
local changed = vim.api.nvim_get_current_buf()
vim.api.nvim_buf_set_lines(0, -1, -1, false, { "not saved yet" })
for _, before in ipairs({ "", "copen" }) do
  vim.cmd("normal! gg")
  vim.cmd(before)
  vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
  vim.fn.search("^\\[1\\] ")
  coho.follow()
  check("a changed file opens at the line", vim.api.nvim_get_current_buf() == changed and vim.fn.line(".") > 1, told)
  check("and stays changed", vim.bo.modified)
end
check("the list stays, too", vim.fn.getqflist({ winid = 0 }).winid ~= 0)
vim.cmd("edit! | cclose")

-- Searching.
vim.fn.setqflist({})
vim.cmd('CohoSearch "charge controller" -boat')
check("hits are listed", wait(function()
  return #vim.fn.getqflist() > 0
end), told)
vim.cmd("cclose")
vim.cmd("CohoSearch path:nowhere/ x")
check("nothing is said to be nothing", wait(function()
  return last() == "coho: nothing was found"
end), told)

-- Of two searches the newer counts, whichever is answered first; of the older nothing is told.
local call, answers = require("coho.service").call, {}
require("coho.service").call = function(_, _, body, done)
  answers[body.query] = done
  return function() end
end
for _, older in ipairs({ { nil, { hits = {} } }, { "it failed" } }) do
  vim.fn.setqflist({})
  vim.cmd("CohoSearch older")
  vim.cmd("CohoSearch newer")
  answers.newer(nil, { hits = { { path = notes .. "/todo.md", lines = { 2, 2 }, text = "newer" } } })
  local said = #told
  answers.older(older[1], older[2])
  check("an older search does not overtake a newer one", vim.fn.getqflist({ title = 0 }).title == "coho: newer", told)
  check("nor say that it failed", #told == said, told)
end
require("coho.service").call = call
vim.cmd("cclose")

-- Bytes that are no text.
for given, wanted in pairs({
  ["café 日本 \240\159\152\128"] = "café 日本 \240\159\152\128",
  ["caf\233 x"] = "caf\239\191\189 x",
  ["\195"] = "\239\191\189",
  ["\237\160\128"] = ("\239\191\189"):rep(3),
  ["\192\128\244\144\128\128"] = ("\239\191\189"):rep(6),
}) do
  local cleaned = require("coho.service").clean(given)
  check("a byte that is no text is told as such", cleaned == wanted, { given, cleaned })
end
vim.cmd("enew")
vim.api.nvim_buf_set_lines(0, 0, -1, false, { "What float voltage is the caf\233 charge controller set to?" })
vim.cmd("1CohoAsk")
check("and can be asked about", wait(function()
  return answer():find("\n%[1%] ") ~= nil or last():find("body", 1, true)
end) and answer():find("13.6", 1, true), { answer(), told })

-- Where the answer's is the only window, a file gets one that looks as windows do.
local function follow_alone()
  vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
  vim.fn.search("^\\[1\\] ")
  coho.follow()
end
local function listed_without_name()
  return #vim.tbl_filter(function(one)
    return vim.bo[one].buflisted and vim.api.nvim_buf_get_name(one) == ""
  end, vim.api.nvim_list_bufs())
end
vim.cmd("silent! only! | edit! " .. notes .. "/todo.md")
-- A buffer keeps the looks that it had when it was seen last.
vim.cmd("set nowrap nolinebreak | silent! bwipeout! balcony-solar.md")
vim.cmd("CohoAsk What float voltage is the charge controller set to?")
wait(function()
  return answer():find("\n%[1%] ") ~= nil
end)
local global = { scope = "global" }
check("other windows keep their looks", not vim.wo.wrap and not vim.api.nvim_get_option_value("wrap", global))
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
check("the answer's wraps", vim.wo.wrap and vim.wo.linebreak)
vim.cmd("only")
local nameless = listed_without_name()
follow_alone()
check("a new window looks as others", vim.fn.winnr("$") == 2 and not vim.wo.wrap and not vim.wo.linebreak, vim.fn.winlayout())
check("and leaves no empty buffer behind", listed_without_name() == nameless)
check("that of the answer wraps still", vim.wo[vim.fn.bufwinid("coho://answer")].wrap)

-- Windows that are bound to their buffers, since Neovim 0.10.
if vim.fn.exists("+winfixbuf") == 1 then
  vim.cmd("silent! only! | edit! " .. notes .. "/todo.md")
  local bound = vim.api.nvim_get_current_win()
  vim.cmd("setlocal winfixbuf")
  local asked, why = pcall(vim.cmd, "CohoAsk What float voltage is the charge controller set to?")
  check("a question is asked from a bound window", asked and wait(function()
    return answer():find("\n%[1%] ") ~= nil
  end) and vim.fn.bufwinid("coho://answer") ~= -1, why)
  follow_alone()
  check("which keeps its buffer", vim.api.nvim_buf_get_name(vim.api.nvim_win_get_buf(bound)) == notes .. "/todo.md")
  check("the file has another", vim.api.nvim_get_current_win() ~= bound and vim.fn.winnr("$") == 3, vim.fn.winlayout())
  vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
  vim.cmd("only | setlocal winfixbuf")
  follow_alone()
  check("so it is beside a bound answer", vim.api.nvim_buf_get_name(0):find("balcony-solar.md", 1, true) ~= nil, told)
end
vim.cmd("silent! only! | enew | set wrap")

-- What can go wrong.
vim.cmd("CohoSearch source:nowhere x")
check("an error says what to do", wait(function()
  return last():find("there is no source `nowhere`", 1, true) and last():find("coho sources", 1, true)
end), told)
-- Pickers, by stand-ins that choose the first hit.
local hit = { filename = vim.env.COHO_NOTES .. "/todo.md", lnum = 2, text = "a: b" }
local opened
local function opens(path, line)
  opened = { path, line }
end
local pick = require("coho.pick").pick
check("without a picker the quickfix list is left", not pick("auto", "t", { hit }, opens) and not pick("quickfix", "t", { hit }, opens))
check("and a name of none is said", not pick("fzf", "t", { hit }, opens) and last() == "coho: `hits` is no picker: fzf", told)
package.loaded["fzf-lua"] = {
  fzf_exec = function(lines, options)
    options.actions["default"]({ lines[1] })
  end,
}
check("fzf-lua is used when it is there", pick("auto", "t", { hit }, opens) and opened[1] == hit.filename and opened[2] == 2)
opened = nil
local chooses
package.loaded["telescope.config"] = { values = { grep_previewer = function() end, generic_sorter = function() end } }
package.loaded["telescope.finders"] = {
  new_table = function(made)
    return made.entry_maker(made.results[1])
  end,
}
package.loaded["telescope.actions"] = {
  close = function() end,
  select_default = {
    replace = function(_, run)
      chooses = run
    end,
  },
}
package.loaded["telescope.pickers"] = {
  new = function(_, made)
    package.loaded["telescope.actions.state"] = {
      get_selected_entry = function()
        return made.finder
      end,
    }
    return {
      find = function()
        made.attach_mappings(1)
        chooses()
      end,
    }
  end,
}
check("telescope comes first", pick("auto", "t", { hit }, opens) and opened[2] == 2, opened)
pick("telescope", "t", { { filename = "/a\nlet x", lnum = 1, text = "" } }, opens)
local entry = package.loaded["telescope.actions.state"].get_selected_entry()
check("and gets no name with a newline", opened[1] == "/a\nlet x" and entry.filename == "/a?let x", entry)
for _, name in ipairs({ "fzf-lua", "telescope.config", "telescope.finders", "telescope.actions", "telescope.pickers", "telescope.actions.state" }) do
  package.loaded[name] = nil
end

vim.cmd("enew")
vim.api.nvim_buf_set_lines(0, 0, -1, false, { string.rep("word ", 300000) })
local before = answer()
vim.cmd("1CohoAsk")
check("a selection of a megabyte is refused with a reason", wait(function()
  return last():find("select less", 1, true)
end), last())
check("and the answer stays", before ~= "" and answer() == before, answer())
told = {}
vim.api.nvim_buf_set_lines(0, 0, -1, false, { string.rep('"', 30000) })
vim.cmd("1CohoAsk")
check("so is one that is too much as it is quoted", wait(function()
  return last():find("select less", 1, true)
end), last())
vim.api.nvim_buf_set_lines(0, 0, -1, false, { string.rep("word ", 4000) })
vim.cmd("1CohoAsk")
check("and a smaller one by the service", wait(function()
  return last():find("at most 10000 are taken", 1, true)
end), last())
coho.options.token = "wrong"
vim.cmd("CohoSearch x")
check("a wrong token is said", wait(function()
  return last():find("bearer token is not the right one", 1, true)
end), told)
coho.options.token = nil
coho.options.address = "http://127.0.0.1:9"
vim.cmd("CohoSearch x")
check("a service that is down is said", wait(function()
  return last():find("start `coho serve`", 1, true)
end), told)
coho.options.home = "/nowhere"
for _, address in ipairs({ "http://notes.invalid", "http://127.0.0.1@notes.invalid", "http://[::ffff:127.0.0.1]:9" }) do
  coho.options.address = address
  vim.cmd("CohoSearch x")
  check("another machine is not told the token of this one", wait(function()
    return last() == "coho: " .. address .. " is another machine: set the `token` that `coho token add` made there"
  end), told)
end
coho.options.token = "its own"
vim.cmd("CohoSearch x")
check("but one of its own", wait(function()
  return last():find("does not answer at http://[::ffff:127.0.0.1]:9", 1, true)
end), told)
coho.options.address, coho.options.token = nil, nil
local data_home = vim.env.XDG_DATA_HOME
coho.options.home, vim.env.COHO_HOME = nil, nil
for _, no_folder in ipairs({ "", "below/here" }) do
  vim.env.XDG_DATA_HOME = no_folder
  check("a data folder that is not absolute counts for nothing", require("coho.service").home():find("^/.*/coho$"))
end
vim.env.COHO_HOME, vim.env.XDG_DATA_HOME = home, data_home
coho.options.home = "/nowhere"
before = answer()
for _, run in ipairs({ "CohoAsk", "CohoSearch" }) do
  told = {}
  vim.cmd(run .. " x")
  check("and one that was never there", wait(function()
    return last():find("no coho is running on /nowhere", 1, true)
  end), told)
end
check("where nobody can be asked, the answer stays", answer() == before, answer())
coho.options.home = nil

-- Of a service that was killed the announcement stays; whoever listens there is told nothing.
for _, name in ipairs(vim.fn.readdir(vim.env.COHO_LEFT)) do
  coho.options.home = vim.env.COHO_LEFT .. "/" .. name
  vim.cmd("CohoSearch x")
  check("nor to one that was killed (" .. name .. ")", wait(function()
    return last():find("no coho is running on " .. coho.options.home, 1, true)
  end), told)
end
coho.options.home = nil
local path_with_curl = vim.env.PATH
vim.env.PATH = ""
vim.cmd("CohoSearch x")
check("that curl is missing is said", wait(function()
  return last() == "coho: curl is missing: install it"
end), told)
vim.env.PATH = path_with_curl

-- A file that moved since it was cited.
vim.cmd("CohoAsk What float voltage is the charge controller set to?")
wait(function()
  return answer():find("\n%[1%] ") ~= nil
end)
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.fn.search("^\\[1\\] ")
local path = vim.api.nvim_get_current_line():match("^%[1%] (.*):%d+$")
os.rename(path, path .. ".moved")
coho.follow()
check("a file that moved is said to have moved", last():find("is not there any more", 1, true), told)
os.rename(path .. ".moved", path)

-- A server that says this to whoever asks, and ends, or hangs.
local function saying(text, hangs, status)
  local server = vim.loop.new_tcp()
  server:bind("127.0.0.1", 0)
  server:listen(8, function()
    local client = vim.loop.new_tcp()
    server:accept(client)
    client:read_start(function(_, piece)
      if piece then
        local head = "HTTP/1.1 " .. (status or "200 OK") .. "\r\nConnection: close\r\n\r\n"
        client:write(head .. text, function()
          if not hangs then
            client:close()
          end
        end)
      end
    end)
  end)
  coho.options.address = "http://127.0.0.1:" .. server:getsockname().port
  return server
end

-- What has no lines is opened by what the system has for it; what [?] means is said.
local leaflet = notes .. "/reference/heat-pump-leaflet.pdf"
local done = {
  id = "none",
  answer = "It weighs 71 kilograms. [1] It is red since 2031. [?]",
  citations = { { n = 1, path = leaflet, lines = vim.NIL, page = 1, text = "71 kilograms" } },
  claims = {
    { text = "It weighs 71 kilograms.", supported = true, citations = { 1 }, missing = {} },
    { text = "It is red since 2031.", supported = false, citations = {}, missing = { "2031" } },
  },
}
local server = saying("event: done\ndata: " .. vim.json.encode(done) .. "\n\n")
vim.cmd("CohoAsk How heavy is the outdoor unit?")
check("what the notes do not support is explained", wait(function()
  return answer():find("\n[?] your notes do not support this: they do not hold 2031", 1, true) ~= nil
end), answer())
check("a page is told where there are no lines", answer():find("\n[1] " .. leaflet .. " page 1\n", 1, true), answer())
local opener, outside = vim.ui.open, nil
vim.ui.open = function(file)
  outside = file
end
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.fn.search("^\\[1\\] ")
coho.follow()
check("and the file is opened outside", outside == leaflet, outside)
check("the answer stays", vim.api.nvim_buf_get_name(0):find("coho://answer", 1, true), vim.api.nvim_buf_get_name(0))
coho.options.address, coho.options.hits = nil, "select"
local select = vim.ui.select
vim.ui.select = function(items, _, choose)
  choose(items[1])
end
outside = nil
vim.cmd("CohoSearch path:reference/heat-pump-leaflet.pdf kilograms")
check("so it is when it is a hit", wait(function()
  return outside == leaflet
end), { outside, told })
vim.fn.setqflist({})
coho.options.hits, vim.ui.select = "quickfix", select
vim.cmd("CohoSearch path:reference/heat-pump-leaflet.pdf kilograms")
wait(function()
  return #vim.fn.getqflist() > 0
end)
local named_only = vim.fn.getqflist()[1]
check("the quickfix list only names it", named_only.valid == 0 and named_only.text:find(leaflet, 1, true) == 1, named_only)
vim.cmd("cclose")
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
coho.options.hits = "auto"
vim.ui.open = function()
  return nil, "no handler found"
end
coho.follow()
check("that nothing opens it is said", last() == "coho: no handler found", told)
-- As Neovim was before 0.10.
vim.ui.open = nil
local path_before = vim.env.PATH
vim.env.PATH = ""
coho.follow()
check("by an older Neovim, too", last():find("nothing opens " .. leaflet, 1, true), told)
local tools = vim.fn.tempname()
vim.fn.mkdir(tools)
local name = tools .. "/" .. (vim.fn.has("mac") == 1 and "open" or "xdg-open")
vim.fn.writefile({ "#!/bin/sh", 'echo "$1" > "$0.said"' }, name)
vim.fn.setfperm(name, "rwx------")
vim.env.PATH = tools .. ":" .. path_before
coho.follow()
check("which opens it with the system's own program", wait(function()
  return vim.fn.filereadable(name .. ".said") == 1 and vim.fn.readfile(name .. ".said")[1] == leaflet
end), told)
vim.env.PATH = path_before
vim.ui.open = opener
server:close()
done.answer = "[1] It is so. [2]"
done.citations[2] = { n = 2, path = notes .. "/todo.md", lines = { 2, 2 } }
server = saying("event: done\ndata: " .. vim.json.encode(done) .. "\n\n")
vim.cmd("CohoAsk Which of two?")
wait(function()
  return answer():find(done.answer, 1, true) ~= nil
end)
vim.fn.cursor(1, 1)
vim.fn.search("so. \\zs\\[2\\]")
coho.follow()
check("of two marks in a line the one under the cursor counts", vim.api.nvim_buf_get_name(0) == notes .. "/todo.md", vim.api.nvim_buf_get_name(0))
server:close()

-- A name with a newline is told as `\x0A`, and runs nothing.
local ran
vim.api.nvim_create_user_command("CohoRan", function()
  ran = true
end, { nargs = "*" })
local folder = vim.fn.tempname()
vim.fn.mkdir(folder)
local spoken = folder .. "/a\\x0ACohoRan\\x0A.md"
local named = spoken:gsub("\\x0A", "\n")
local file = io.open(named, "w")
file:write("one\ntwo\n")
file:close()
done.citations = { { n = 1, path = spoken, lines = { 2, 2 } } }
server = saying("event: done\ndata: " .. vim.json.encode(done) .. "\n\n")
vim.cmd("CohoAsk What is in a name?")
wait(function()
  return answer():find("\\x0A", 1, true) ~= nil
end)
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.fn.search("^\\[1\\] ")
coho.follow()
check("a name with a newline opens", vim.api.nvim_get_current_line() == "two", { vim.api.nvim_buf_get_name(0), told })
check("and what follows is no command", not ran)
server:close()
server = saying(vim.json.encode({ hits = { { path = spoken, lines = { 2, 2 }, text = "two" } } }))
vim.fn.setqflist({})
vim.cmd("CohoSearch x")
wait(function()
  return #vim.fn.getqflist() > 0
end)
vim.cmd("cclose | silent only | enew | silent cc")
check("nor from the quickfix list, which opens it, too", vim.api.nvim_get_current_line() == "two" and not ran, told)
server:close()
server = saying("event: done\ndata: " .. vim.json.encode(done) .. "\n\n")
vim.ui.select = function(items, options)
  opened = options.format_item(items[1])
end
pick("select", "t", { { filename = named, lnum = 2, text = "" } }, opens)
check("a list shows it in one line", opened == "a?CohoRan?.md:2 ", opened)
vim.ui.select = select

-- A file tree or a terminal beside the answer is left alone.
vim.cmd("only | enew")
vim.bo.buftype = "nofile"
local tree = vim.api.nvim_get_current_buf()
vim.cmd("CohoAsk What is in a name?")
wait(function()
  return answer():find("\\x0A", 1, true) ~= nil
end)
vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.fn.search("^\\[1\\] ")
coho.follow()
check("a file tree is not replaced", vim.fn.bufwinid(tree) ~= -1 and vim.api.nvim_get_current_line() == "two", vim.fn.winlayout())

-- An answer after its buffer was deleted, after a session came back, after the plugin was loaded anew.
local function answers_after(what, run)
  run()
  local done_well, why = pcall(vim.cmd, "CohoAsk What is in a name?")
  check("after " .. what .. " an answer is written", done_well and wait(function()
    return answer():find("\\x0A", 1, true) ~= nil
  end) and vim.bo[vim.fn.bufnr("coho://answer")].filetype == "coho", { why, answer() })
  check("with the colours of Markdown", vim.bo[vim.fn.bufnr("coho://answer")].syntax == "markdown")
  vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
  check("with its keys", #vim.api.nvim_buf_get_keymap(0, "n") > 0)
end
answers_after("bdelete", function()
  vim.cmd("bdelete " .. vim.fn.bufnr("coho://answer"))
end)
answers_after("the plugin was loaded anew", function()
  local options = coho.options
  package.loaded["coho"] = nil
  coho = require("coho")
  coho.setup(options)
end)
answers_after("a session", function()
  vim.api.nvim_buf_delete(vim.fn.bufnr("coho://answer"), { force = true })
  vim.cmd("split coho://answer")
end)
server:close()

-- Who leaves while something is asked is told nothing of it. Nobody accepts there, so that it waits.
server = vim.loop.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(8, function() end)
local leaving = { vim.v.progpath, "--headless", "-u", "NONE", "-i", "NONE", "--cmd", "set rtp^=" .. vim.o.rtp:match("[^,]*") }
for _, run in ipairs({
  "runtime plugin/coho.lua",
  "lua require('coho').setup({ address = 'http://127.0.0.1:" .. server:getsockname().port .. "', token = 't' })",
  "CohoSearch x",
  "sleep 300m",
  "qall",
}) do
  vim.list_extend(leaving, { "-c", run })
end
local left = vim.fn.system(leaving)
check("leaving while something is asked says nothing", left == "", left)
server:close()

-- Half a stream: a server that ends in the middle of an answer.
server = saying('event: token\ndata: {"text":"The half of it"}\n\nevent: tok')
vim.cmd("CohoAsk What is cut in half?")
check("a stream cut in half is said", wait(function()
  return last():find("broke off", 1, true)
end), told)
check("and what came stays", answer():find("The half of it", 1, true), answer())
server:close()

-- One that hangs is given up, before it says a word and in the middle of an answer; a search can be stopped.
local service_module = require("coho.service")
local quiet_s = service_module.quiet_s
service_module.quiet_s = 1
server = saying('event: token\ndata: {"text":"The start of it"}\n\n', true)
vim.cmd("CohoAsk What hangs?")
check("an answer that hangs is given up", wait(function()
  return last():find("hangs", 1, true)
end), told)
check("and what came of it stays", answer():find("The start of it", 1, true), answer())
server:close()
server = vim.loop.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(8, function() end)
coho.options.address = "http://127.0.0.1:" .. server:getsockname().port
told = {}
vim.cmd("CohoSearch x")
check("so is a search", wait(function()
  return last():find("hangs", 1, true)
end), told)
told = {}
vim.cmd("CohoSearch x")
vim.cmd("CohoStop")
vim.wait(3000)
check("of a search that was stopped nothing is told", #told == 0, told)
server:close()
-- One that only says, byte by byte, that there is nothing yet does not hang.
service_module.quiet_s = 2
server = vim.loop.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(8, function()
  local client, timer, beats = vim.loop.new_tcp(), vim.loop.new_timer(), 0
  server:accept(client)
  client:read_start(function() end)
  client:write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
  timer:start(1000, 1000, function()
    beats = beats + 1
    if beats < 5 then
      client:write("\n")
    else
      timer:close()
      client:write("event: late\ndata: {}\n\n", function()
        client:close()
      end)
    end
  end)
end)
coho.options.address = "http://127.0.0.1:" .. server:getsockname().port
local beating = {}
service_module.call("GET", "/v1/events", nil, function(failed)
  beating.failed, beating.over = failed, true
end, function(name)
  beating.name = name
end)
wait(function()
  return beating.over
end)
check("one that is at work is waited for", beating.name == "late" and not beating.failed, beating)
service_module.quiet_s = quiet_s
coho.options.address = nil
server:close()

-- The service's own examples, as they are committed.
local function example(name)
  local file = io.open(vim.env.COHO_EXAMPLES .. "/" .. name .. ".json")
  local value = vim.json.decode(file:read("*a"))
  file:close()
  return value.response
end
local names = {}
for _, event in ipairs(example("ask-stream").events) do
  names[event.event] = true
end
check("the events are those of the examples", names.token and names.done, names)
check("and so are the claims", type(example("ask").body.claims) == "table")
check("and so are the fields of hits", example("search").body.hits[1].path and example("search").body.hits[1].text)

vim.api.nvim_set_current_win(vim.fn.bufwinid("coho://answer"))
vim.cmd("only")
vim.api.nvim_feedkeys("q", "x", false)
check("q leaves the answer even where no other window is", vim.fn.bufwinid("coho://answer") == -1, vim.v.errmsg)

vim.cmd("checkhealth coho")
local health = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), "\n")
check("its health is told", health:find("answers at", 1, true) and not health:find("ERROR"), health)
vim.cmd("bwipeout")
-- What the health is where the service says this.
local function health_of(said, status)
  local there = saying(said, false, status)
  coho.options.token = "its own"
  vim.cmd("checkhealth coho")
  local told = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), "\n")
  vim.cmd("bwipeout")
  coho.options.address, coho.options.token = nil, nil
  there:close()
  return told
end
health = health_of('{"detail": "this token lacks a right"}', "403 Forbidden")
check("a token that may only ask is no error", health:find("answers at", 1, true)
  and health:find("lacks a right", 1, true) and not health:find("ERROR"), health)
health = health_of("hello")
check("what is no coho is one", health:find("is no coho", 1, true) and health:find("ERROR"), health)
vim.cmd("help :CohoAsk")
check("there is help", vim.bo.filetype == "help")

dofile(vim.fn.fnamemodify(debug.getinfo(1, "S").source:sub(2), ":h") .. "/figure.lua")
io.stdout:write(failures == 0 and "ALL OK\n" or (failures .. " FAILED\n"))
vim.cmd(failures == 0 and "qall!" or "cquit 1")
