// The page in a real browser: ask, open a citation, search, learn, decide and take that back; axe's
// rules in every view, light and dark, wide and at 360 px; asking again while an answer comes; a
// service that is away; keys that are switched off. Arguments: address, token, folder of node_modules, folder for pictures.
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

async function look(context, page, what) {
  const devtools = await context.newCDPSession(page);
  await devtools.send("Runtime.evaluate", { expression: axe });
  const run = 'axe.run(document).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes[0].html])))';
  const found = await devtools.send("Runtime.evaluate", { expression: run, awaitPromise: true, returnByValue: true });
  if (found.result.value !== "[]") wrong.push(`${what}: ${found.result.value}`);
  if (await page.evaluate("document.documentElement.scrollWidth > innerWidth")) wrong.push(`${what}: too wide`);
  if (pictures) await page.screenshot({ path: `${pictures}/${what.replace(" ", "-")}.png` });
}

// A unit in use is taken out of use, and that is taken back.
async function decide(context, page, name) {
  await page.selectOption("#state", "active");
  await page.waitForSelector("#unit-list[aria-busy=false]");
  const card = page.locator("article.unit").first();
  const title = await card.getAttribute("aria-label");
  await card.getByRole("button", { name: "It is wrong" }).click();
  const undo = page.locator("#decided").getByRole("button", { name: "Undo" });
  await undo.waitFor();
  if (!(await page.textContent("#decided")).includes(`“${title}” is retired now`)) wrong.push(`${name}: it is not said what was decided`);
  if (!(await page.evaluate("document.activeElement.id === 'decided'"))) wrong.push(`${name}: the keyboard is lost`);
  await look(context, page, `${name} decided`);
  await undo.click();
  await page.locator("#decided", { hasText: "is in use now" }).waitFor();
  await page.locator("article.unit").and(page.getByLabel(title, { exact: true })).first().waitFor();
}

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
  if (await page.isVisible("#after")) wrong.push(`${name}: an answer is judged before it is there`);
  if (page.url().includes("token")) wrong.push("the token stays in the address");
  await page.fill("#question", "What float voltage is the charge controller set to?");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#after:not([hidden])");
  const leads = await page.getAttribute("#answer button", "title");
  if (!/\.md:\d+-\d+/.test(leads)) wrong.push(`a mark leads to ${leads}`);
  await page.click("#citations button");
  const marked = await page.textContent("#passage mark");
  if (!marked.includes("13.6")) wrong.push(`the passage marks ${marked}`);
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-ask.png` });
  await page.keyboard.press("Escape");
  await page.click("#good");
  await page.locator("#message", { hasText: "Noted" }).waitFor();
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
      await decide(context, page, name);
    }
    if (view === "status") await page.locator("#facts", { hasText: /[\d.]+ J, answers: 1 \(.+\)/ }).waitFor();
    await look(context, page, `${name} ${view}`);
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

// Asking again while an answer comes: the end of the first is not the end of the second.
const anew = await browser.newPage();
let held = [];
await anew.route("**/v1/ask", (route) => held.push(route));
// The first stream of events ends at once, as when the service is started anew.
let listened = 0;
// A service that is busy then does not want to be listened to.
const ends = [{ status: 200, contentType: "text/event-stream", body: "" }, { status: 429, contentType: "application/problem+json", body: '{"detail": "busy"}' }];
await anew.route("**/v1/events", (route) =>
  listened < ends.length ? route.fulfill(ends[listened++]) : (listened++, route.continue()));
await anew.goto(`${base}/#token=${token}`);
await anew.waitForSelector("#ask:not([hidden])");
const question = "What float voltage is the charge controller set to?";
const asks = async () => {
  await anew.fill("#question", question);
  const sent = anew.waitForRequest("**/v1/ask");
  await anew.press("#question", "Enter");
  await sent;
};
await asks();
const ended = anew.waitForEvent("requestfailed");
await asks();
await ended;
await anew.evaluate("new Promise((done) => setTimeout(done, 100))");
if (!(await anew.isVisible("#stop"))) wrong.push("asking again hides Stop");
if ((await anew.getAttribute("#answer", "aria-busy")) !== "true") wrong.push("asking again ends the waiting");
// What the service says of it, with the figures and the doubt of a model that writes.
const written = await held[1].fetch();
const claim = JSON.stringify({ text: "It is so.", supported: false, citations: [], missing: ["14.9"] });
const body = (await written.text())
  .replace(/"generated":\d+/g, '"generated":100')
  .replace(/"generate_ms":[\d.]+/g, '"generate_ms":2000')
  .replace(/"claims":\[/g, (list) => `${list}${claim},`)
  .replaceAll(`${claim},]`, `${claim}]`);
await held[1].fulfill({ response: written, body });
await anew.waitForSelector("#after:not([hidden])");
if (await anew.isVisible("#stop")) wrong.push("Stop stays when the answer is there");
if (!(await anew.textContent("#unsupported")).includes("they do not hold 14.9")) wrong.push("a claim without support is not explained");
await anew.click("nav button[data-view=status]");
await anew.locator("#facts", { hasText: "50.0 tokens/s" }).waitFor();
// Stop ends an answer.
await anew.click("nav button[data-view=ask]");
await asks();
await anew.press("#stop", "Enter");
await anew.waitForSelector("#stop", { state: "hidden" });
if ((await anew.evaluate("document.activeElement.id")) !== "question") wrong.push("the keyboard is lost when an answer is stopped");
for (let tries = 0; listened < 3 && tries < 100; tries++) await anew.evaluate("new Promise((done) => setTimeout(done, 100))");
if (listened < 3) wrong.push("the page does not listen again after the service was away, and busy");
await anew.close();

// A service that hangs is given up: before it answers, and in the middle of an answer.
const patient = await browser.newPage();
await patient.clock.install();
await patient.goto(`${base}/#token=${token}`);
await patient.waitForSelector("#ask:not([hidden])");
const half = () => {
  const [fetched, piece] = [window.fetch, new TextEncoder().encode('event: token\ndata: {"text":"The half"}\n\n')];
  window.fetch = async (_, { signal }) => {
    window.fetch = fetched;
    const start = (to) => (to.enqueue(piece), signal.addEventListener("abort", () => to.error(signal.reason)));
    return new Response(new ReadableStream({ start }));
  };
};
for (const [hangs, came] of [[() => patient.route("**/v1/ask", () => {}), ""], [() => patient.evaluate(half), "The half"]]) {
  await hangs();
  await patient.fill("#question", question);
  await patient.press("#question", "Enter");
  await patient.waitForSelector("#stop:not([hidden])");
  await patient.waitForFunction((text) => document.querySelector("#answer").textContent === text, came, { polling: 50 });
  await patient.clock.fastForward(61000);
  const said = patient.locator("#message", { hasText: "coho hangs" }).waitFor({ timeout: 10000 });
  await said.catch(async () => wrong.push(`a service that hangs is waited for: it says “${await patient.textContent("#message")}”`));
  if (await patient.isVisible("#stop")) wrong.push("Stop stays when a service hangs");
  await patient.unroute("**/v1/ask");
}
// Learning may take long, while the service says that it is there.
await patient.route("**/v1/writeback", () => {});
await patient.click("nav button[data-view=units]");
await patient.click("#learn");
const there = patient.waitForResponse("**/healthz");
await patient.clock.fastForward(61000);
await there;
await patient.evaluate("new Promise((done) => done())");
if ((await patient.textContent("#message")) !== "Looking at your answers…") wrong.push("a service that learns is given up");
await patient.route("**/healthz", () => {});
const asked = patient.waitForRequest("**/healthz");
await patient.clock.fastForward(61000);
await asked;
await patient.clock.fastForward(61000);
const learned = patient.locator("#message", { hasText: "coho hangs" }).waitFor({ timeout: 10000 });
await learned.catch(async () => wrong.push(`a service that hangs is waited for while it learns: it says “${await patient.textContent("#message")}”`));
await patient.unroute("**/healthz");
await patient.unroute("**/v1/writeback");
// A token that is told to a page which is open already is taken, and does not stay in the address.
await patient.goto(`${base}/#token=wrong`);
await patient.locator("#message", { hasText: "token" }).waitFor();
if (!(await patient.isVisible("#enter"))) wrong.push("a token that is wrong is not asked for anew");
await patient.goto(`${base}/#token=${token}`);
await patient.waitForSelector("#ask:not([hidden])").catch(() => wrong.push("a token is not taken where the page is open"));
if (patient.url().includes("token")) wrong.push("the token stays in the address of a page that is open");
await patient.close();

// What goes wrong is said with what to do, and an older search does not overtake a newer one.
const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
const rough = await context.newPage();
const says = async (words, what) => {
  const heard = rough.locator("#message", { hasText: words }).waitFor({ timeout: 10000 });
  await heard.catch(async () => wrong.push(`${what}: it says “${await rough.textContent("#message")}”`));
};
let ready = false;
const unready = { status: 503, contentType: "application/problem+json", body: '{"detail": "not ready"}' };
await rough.route("**/v1/status", (route) => (ready ? route.continue() : route.fulfill(unready)));
const listens = rough.waitForRequest("**/v1/events");
await rough.goto(`${base}/#token=${token}`);
await says("not ready", "a service that is starting");
await listens;
if (!(await rough.evaluate("sessionStorage.getItem('token')"))) wrong.push("a service that is starting loses the token");
ready = true;
const asking = async () => {
  await rough.fill("#question", question);
  await rough.press("#question", "Enter");
};
await rough.route("**/v1/ask", (route) => route.abort());
await asking();
await says("coho does not answer: start `coho serve`", "a service that is down");
await rough.unroute("**/v1/ask");
await rough.evaluate(() => {
  const [fetched, piece] = [window.fetch, new TextEncoder().encode('event: token\ndata: {"text":"The half"}\n\n')];
  window.fetch = async () => {
    window.fetch = fetched;
    return new Response(new ReadableStream({ start: (to) => to.enqueue(piece), pull: (to) => to.error(new TypeError("network error")) }, { highWaterMark: 0 }));
  };
});
await asking();
await says("The answer broke off; ask again.", "half an answer");
if ((await rough.textContent("#answer")) !== "The half") wrong.push("half an answer is not shown");
await asking();
await rough.waitForSelector("#after:not([hidden])");
const display = await rough.evaluate("getComputedStyle(document.querySelector('#message:empty')).display");
if (display === "none") wrong.push("what is said is not announced");
await rough.route("**/signals", (route) => route.abort());
await rough.click("#copy");
await says("Copied.", "a copy that coho is not told of");
if (!(await rough.evaluate("navigator.clipboard.readText()")).includes("13.6")) wrong.push("nothing was copied");
await rough.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
await rough.click("#copy");
await says("only over https or on localhost", "a page that may not copy");
await rough.click("nav button[data-view=search]");
const slow = [];
await rough.route("**/v1/search", (route) => (slow.length ? route.continue() : slow.push(route)));
for (const query of ["train to Vienna", "float voltage"]) {
  await rough.fill("#query", query);
  await rough.press("#query", "Enter");
}
await rough.waitForSelector("#hits li");
const newer = await rough.textContent("#hits");
const overtaken = rough.waitForResponse((response) => response.request() === slow[0].request());
await slow[0].continue();
await (await overtaken).finished();
await rough.evaluate("new Promise((done) => setTimeout(done, 100))");
if ((await rough.textContent("#hits")) !== newer) wrong.push("an older search overtakes a newer one");
// Nor does it say that it failed, over what the newer one found.
const failing = [];
await rough.unroute("**/v1/search");
await rough.route("**/v1/search", (route) => (failing.length ? route.continue() : failing.push(route)));
for (const query of ["source:nowhere x", "float voltage"]) {
  await rough.fill("#query", query);
  await rough.press("#query", "Enter");
}
await rough.waitForResponse("**/v1/search");
const failed = rough.waitForResponse((response) => response.request() === failing[0].request());
await failing[0].continue();
await (await failed).finished();
await rough.evaluate("new Promise((done) => setTimeout(done, 100))");
if (!/^\d+ found\.$/.test(await rough.textContent("#message"))) wrong.push(`an older search says “${await rough.textContent("#message")}”`);
await rough.unroute("**/v1/search");
// What a search found is not said over another view.
let come;
const behind = new Promise((done) => (come = done));
await rough.route("**/v1/search", (route) => come(route));
await rough.fill("#query", "float voltage");
await rough.press("#query", "Enter");
const overdue = await behind;
await rough.click("nav button[data-view=ask]");
await overdue.fulfill({ json: { hits: [] } });
await rough.evaluate("new Promise((done) => setTimeout(done, 100))");
if (await rough.textContent("#message")) wrong.push(`over another view it says “${await rough.textContent("#message")}”`);
await rough.unroute("**/v1/search");
await rough.click("nav button[data-view=search]");
// A long passage can be read to its end.
const long = `${"word ".repeat(200)}end`;
await rough.route("**/v1/search", (route) => route.fulfill({ json: { hits: [{ path: "/n/long.md", lines: [1, 2], title: "long", text: long }] } }));
await rough.fill("#query", "long");
await rough.press("#query", "Enter");
await says("1 found.", "a search that found one");
const more = rough.getByRole("button", { name: "Whole passage", expanded: false });
await more.click();
if ((await rough.textContent("#hits p")) !== long) wrong.push("the rest of a passage is not shown");
await rough.getByRole("button", { name: "Whole passage", expanded: true }).click();
if (!(await rough.textContent("#hits p")).endsWith("…")) wrong.push("the rest of a passage is not hidden again");
await rough.unroute("**/v1/search");
// Escape takes back a word that an input method composes, and leaves no field.
await rough.focus("#query");
const escaped = (isComposing) => rough.evaluate((composing) => {
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", isComposing: composing, bubbles: true }));
  return document.activeElement.id;
}, isComposing);
if ((await escaped(true)) !== "query" || (await escaped(false)) === "query") wrong.push("Escape while a word is composed leaves the field");
// What was learned is that of the state which is chosen, whichever is told first.
await rough.click("nav button[data-view=units]");
await rough.waitForSelector("#unit-list[aria-busy=false]");
let late;
await rough.route("**/v1/units?*state=active*", (route) => (late = route));
const chosen = rough.waitForRequest("**/v1/units?*state=active*");
await rough.selectOption("#state", "active");
await chosen;
await rough.selectOption("#state", "stale");
await rough.getByText("None.", { exact: true }).waitFor();
const told = rough.waitForResponse((response) => response.request() === late.request());
await late.continue();
await (await told).finished();
await rough.evaluate("new Promise((done) => setTimeout(done, 500))");
if ((await rough.textContent("#unit-list")) !== "None.") wrong.push("units of another state are shown");
await rough.unroute("**/v1/units?*state=active*");
await rough.click("nav button[data-view=search]");
// A unit that is gone is left out, and what is not shown is counted.
const given = { headers: { Authorization: `Bearer ${token}` } };
const [unit] = (await (await fetch(`${base}/v1/units?state=active`, given)).json()).units;
const listed = [{ ...unit, id: "gone" }, ...Array(26).fill(unit)];
await rough.route("**/v1/units?*", (route) => route.fulfill({ json: { units: listed } }));
await rough.click("nav button[data-view=units]");
await rough.getByText("and 2 more", { exact: true }).waitFor({ timeout: 10000 }).catch(() => wrong.push("units that are not shown are not counted"));
if ((await rough.locator("article.unit").count()) !== 24) wrong.push("a unit that is gone takes others with it");
// Why nothing came of a run is said.
const lost = { considered: [], made: 1, promoted: [], rolled_back: true, reason: "it answers worse" };
await rough.route("**/v1/writeback", (route) => route.fulfill({ json: lost }));
await rough.click("#learn");
await rough.getByText("Rolled back: it answers worse.").waitFor({ timeout: 10000 }).catch(() => wrong.push("it is not said why a run was rolled back"));
await rough.unroute("**/v1/writeback");
// Single keys can be switched off, for good.
await rough.click("nav button[data-view=status]");
await rough.uncheck("#keys");
for (const again of [false, true]) {
  if (again) await rough.reload();
  await rough.click("nav button[data-view=status]");
  await rough.evaluate("document.activeElement.blur()");
  await rough.keyboard.press("1");
  if (!(await rough.isVisible("#status"))) wrong.push("a key does something though it is off");
  if (await rough.isVisible("nav kbd")) wrong.push("a key is named though it is off");
}
await rough.check("#keys");
await rough.evaluate("document.activeElement.blur()");
await rough.keyboard.press("1");
await rough.waitForSelector("#ask:not([hidden])");
// Where storage is blocked the page goes on without; a token that may only ask is let in by the form.
const bare = await browser.newPage();
bare.on("pageerror", (error) => wrong.push(`without storage: ${error}`));
await bare.addInitScript(() => {
  const blocked = () => {
    throw new DOMException("Access is denied for this document.", "SecurityError");
  };
  for (const name of ["sessionStorage", "localStorage"]) Object.defineProperty(window, name, { get: blocked });
});
const forbidden = { status: 403, contentType: "application/problem+json", body: '{"detail": "this token may not read"}' };
await bare.route("**/v1/status", (route) => route.fulfill(forbidden));
await bare.goto(base);
// What was pasted with the quotes around it is no service that is away.
for (const pasted of [`“${token}”`, token]) {
  await bare.fill("#token", pasted);
  await bare.press("#token", "Enter");
  if (pasted === token) continue;
  await bare.locator("#message", { hasText: "That is no token" }).waitFor({ timeout: 10000 }).catch(() => wrong.push("what is no token is not told"));
}
await bare.waitForSelector("#ask:not([hidden])").catch(() => wrong.push("a token that may only ask is not let in"));
await bare.fill("#question", question);
await bare.press("#question", "Enter");
await bare.waitForSelector("#after:not([hidden])").catch(() => wrong.push("without storage nothing is answered"));
// What was asked before is shown again.
await bare.fill("#question", "");
await bare.click("#before summary");
await bare.locator("#asked button", { hasText: question }).first().click();
await bare.waitForFunction(() => document.activeElement.id === "answer", undefined, { timeout: 10000 }).catch(() => {});
if ((await bare.inputValue("#question")) !== question) wrong.push("an answer of before stands below another question");
if (!(await bare.textContent("#answer")).includes("13.6")) wrong.push("an answer of before is not shown");
if ((await bare.evaluate("document.activeElement.id")) !== "answer") wrong.push("the keyboard is lost when an answer of before is shown");
await browser.close();
if (wrong.length) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log("page: asked, opened, searched, learned, decided and took it back; asked again, listened again; says what is wrong; keys go off; nothing in a note runs; axe finds nothing, light and dark, down to 360 px");
