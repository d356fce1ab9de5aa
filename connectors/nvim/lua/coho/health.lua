-- `:checkhealth coho`
local M = {}

function M.check()
  -- Before Neovim 0.10 these had other names.
  local health = vim.health or require("health")
  local start = health.start or health.report_start
  local ok = health.ok or health.report_ok
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
  local said, failed
  service.call("GET", "/v1/status", nil, function(error, value)
    said, failed = value, error
  end)
  vim.wait(5000, function()
    return said or failed
  end)
  if not said then
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
