-- Commands only: everything else is loaded when one of them runs.
if vim.g.loaded_coho then
  return
end
vim.g.loaded_coho = true

local function command(name, run, options)
  vim.api.nvim_create_user_command(name, function(given)
    require("coho")[run](given)
  end, options)
end

command("CohoAsk", "ask", { nargs = "*", range = true, desc = "Ask your notes; with a range, ask what is selected" })
command("CohoSearch", "search", { nargs = "*", desc = "Search your notes" })
command("CohoRelated", "related", { nargs = 0, desc = "Notes that are related to the paragraph under the cursor" })
command("CohoStop", "stop", { nargs = 0, desc = "Stop the answer that is being written, and a search" })
command("CohoGood", "good", { nargs = 0, desc = "Say that the last answer was good" })
command("CohoBad", "bad", { nargs = 0, desc = "Say that the last answer was bad" })
