-- `:checkhealth coho`
local M = {}

function M.check()
  -- Before Neovim 0.10 these had other names.
  local health = vim.health or require("health")
  local start = health.start or health.report_start
  local ok = health.ok or health.report_ok
  local info = health.info or health.report_info
  local warn = health.warn or health.report_warn
  local wrong = health.error or health.report_error
  start("coho")
  if vim.fn.executable("curl") == 1 then
    ok("curl is there")
  else
    wrong("curl is missing: install it")
  end
  local service = require("coho.service")
  local found, missing = service.find()
  if not found then
    wrong(missing)
    return
  end
  local over, said, failed, status
  service.call("GET", "/v1/status", nil, function(error, value, code)
    over, said, failed, status = true, value, error, code
  end)
  vim.wait(5000, function()
    return over
  end)
  -- A token that may only ask is told nothing of the whole.
  if status == 403 then
    ok("coho answers at " .. found.address)
    info(failed)
    return
  end
  if over and not failed and (type(said) ~= "table" or not said.version) then
    failed = "what answers at " .. found.address .. " is no coho: is the address right?"
  end
  if failed or not over then
    wrong(failed or ("coho does not answer at " .. found.address))
    return
  end
  ok("coho " .. said.version .. " answers at " .. found.address)
  ok(said.documents .. " documents, " .. said.chunks .. " passages")
  if #said.sources == 0 then
    warn("no folder was added yet: `coho add PATH`")
  end
end

return M
