-- Hits in a picker: telescope, fzf-lua, or whatever stands behind vim.ui.select. Each is used only
-- when it is there; none is needed.
local M = {}

-- A name may hold newlines, a line of a list none.
local function in_line(text)
  return (text:gsub("%c", "?"))
end

local function shown(hit)
  return in_line(vim.fn.fnamemodify(hit.filename, ":t") .. ":" .. hit.lnum .. " " .. hit.text)
end

local function telescope(title, items, open)
  local ok, pickers = pcall(require, "telescope.pickers")
  if not ok then
    return false
  end
  local values = require("telescope.config").values
  local actions = require("telescope.actions")
  local function entry(hit)
    -- Its own keys open the name as a command.
    local filename = in_line(hit.filename)
    return { value = hit, display = shown(hit), ordinal = shown(hit), filename = filename, lnum = hit.lnum }
  end
  pickers
    .new({}, {
      prompt_title = title,
      finder = require("telescope.finders").new_table({ results = items, entry_maker = entry }),
      previewer = values.grep_previewer({}),
      sorter = values.generic_sorter({}),
      attach_mappings = function(buffer)
        actions.select_default:replace(function()
          local chosen = require("telescope.actions.state").get_selected_entry()
          actions.close(buffer)
          if chosen then
            open(chosen.value.filename, chosen.value.lnum, chosen.value.outside)
          end
        end)
        return true
      end,
    })
    :find()
  return true
end

local function fzf(title, items, open)
  local ok, picker = pcall(require, "fzf-lua")
  if not ok then
    return false
  end
  -- The first fields are what its preview reads: file and line.
  local lines, hits = {}, {}
  for n, hit in ipairs(items) do
    lines[n] = in_line(hit.filename .. ":" .. hit.lnum .. ":1: " .. hit.text)
    hits[lines[n]] = hit
  end
  picker.fzf_exec(lines, {
    prompt = title .. "> ",
    previewer = "builtin",
    actions = {
      ["default"] = function(chosen)
        local hit = chosen and hits[chosen[1]]
        if hit then
          open(hit.filename, hit.lnum, hit.outside)
        end
      end,
    },
  })
  return true
end

local function select(title, items, open)
  vim.ui.select(items, { prompt = title, format_item = shown }, function(chosen)
    if chosen then
      open(chosen.filename, chosen.lnum, chosen.outside)
    end
  end)
  return true
end

local known = { telescope = telescope, ["fzf-lua"] = fzf, select = select }

--- Shows hits as `how` says: the name of a picker, "auto" for the first that is there, or
--- "quickfix". Says whether a picker took them.
function M.pick(how, title, items, open)
  if how == "auto" then
    return telescope(title, items, open) or fzf(title, items, open)
  end
  local picker = known[how]
  if not picker and how ~= "quickfix" then
    vim.notify("coho: `hits` is no picker: " .. tostring(how), vim.log.levels.WARN)
  end
  return picker ~= nil and picker(title, items, open)
end

return M
