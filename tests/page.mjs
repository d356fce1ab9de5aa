// The page in a real browser: ask, open a citation, search, learn; axe's rules in every view, light
// and dark, wide and at 360 px. Arguments: address, token, folder of node_modules, folder for pictures.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";

const [base, token, modules, pictures] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
if (pictures) mkdirSync(pictures, { recursive: true });

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags });
const wrong = [];
for (const [name, options] of [
  ["light", { viewport: { width: 1000, height: 800 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
]) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("pageerror", (error) => wrong.push(`${name}: ${error}`));
  page.on("console", (message) => message.type() === "error" && wrong.push(`${name}: ${message.text()}`));
  await page.goto(`${base}/#token=${token}`);
  await page.waitForSelector("#ask:not([hidden])");
  if (page.url().includes("token")) wrong.push("the token stays in the address");
  await page.fill("#question", "What float voltage is the charge controller set to?");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#after:not([hidden])");
  await page.click("#citations button");
  const marked = await page.textContent("#passage mark");
  if (!marked.includes("13.6")) wrong.push(`the passage marks ${marked}`);
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-ask.png` });
  await page.keyboard.press("Escape");
  for (const [key, view] of Object.entries({ 1: "ask", 2: "search", 3: "units", 4: "sources", 5: "status" })) {
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press(key);
    await page.waitForSelector(`#${view}:not([hidden])`);
    if (view === "search") {
      await page.fill("#query", "voltage");
      await page.check("#explain");
      await page.press("#query", "Enter");
      await page.waitForSelector("#hits li");
    }
    if (view === "units") {
      await page.click("#learn");
      await page.locator("#message", { hasText: "judged" }).waitFor();
    }
    if (view === "status") await page.waitForSelector("#facts dd");
    const devtools = await context.newCDPSession(page);
    await devtools.send("Runtime.evaluate", { expression: axe });
    const run = 'axe.run(document).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes[0].html])))';
    const found = await devtools.send("Runtime.evaluate", { expression: run, awaitPromise: true, returnByValue: true });
    if (found.result.value !== "[]") wrong.push(`${name} ${view}: ${found.result.value}`);
    if (await page.evaluate("document.documentElement.scrollWidth > innerWidth")) wrong.push(`${name} ${view}: too wide`);
    if (pictures) await page.screenshot({ path: `${pictures}/${name}-${view}.png` });
  }
}
// Notes are shown as they are; nothing in them is markup, and nothing in them runs.
const page = await browser.newPage();
const requests = [];
await page.exposeFunction("bad", () => wrong.push("a note was run"));
page.on("dialog", (dialog) => wrong.push(`a dialog: ${dialog.message()}`));
page.on("request", (request) => requests.push(request.url()));
await page.goto(`${base}/#token=${token}`);
await page.waitForSelector("#ask:not([hidden])");
await page.fill("#question", "What does the quokka say?");
await page.keyboard.press("Enter");
await page.waitForSelector("#after:not([hidden])");
await page.click("#citations button");
await page.waitForSelector("#passage");
await page.keyboard.press("Escape");
await page.evaluate("document.activeElement.blur()");
await page.keyboard.press("2");
await page.fill("#query", "quokka");
await page.press("#query", "Enter");
await page.waitForSelector("#hits li");
if (!(await page.textContent("#hits")).includes("<script>bad()</script>")) wrong.push("the note is not shown as it is");
const markup = await page.evaluate('document.querySelectorAll("main img, main svg:not(#learning-line), main script, main a[href^=javascript]").length');
if (markup) wrong.push(`${markup} elements came out of a note`);
const elsewhere = requests.filter((url) => !url.startsWith(base));
if (elsewhere.length) wrong.push(`asked of others: ${elsewhere}`);
await browser.close();
if (wrong.length) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log("page: asked, opened, searched, learned; nothing in a note runs; axe finds nothing, light and dark, down to 360 px");
