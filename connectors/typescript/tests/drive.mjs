// Run by tests/connectors.py against a real `coho serve` on the sample vault: the client with a
// service that is down, cut off or of another version; the extension of VS Code and the plugin of
// Obsidian as they are bundled, with stand-ins for their editors, and their views in Chromium.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import * as client from "../dist/client.mjs";
import { manifestAsItShouldBe } from "../build.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const notes = process.env.COHO_NOTES;
const tools = process.argv[2];
const pictures = process.argv[3];
const QUESTION = "What float voltage is the charge controller set to?";

async function check(name, run) {
  await run();
  console.log(`ok ${name}`);
}

const refused = (promise, words) =>
  assert.rejects(promise, (error) => {
    assert.match(error.message, words);
    return true;
  });

/** A server that says one thing. */
async function saying(status, type, text, cut = false) {
  const server = createServer((_, response) => {
    response.writeHead(status, { "content-type": type });
    response.write(text);
    if (cut) setTimeout(() => response.destroy(), 200);
    else response.end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { address: `http://127.0.0.1:${server.address().port}`, token: "t", close: () => server.close() };
}

async function clients() {
  await check("examples are spoken as they are kept", async () => {
    const folder = process.env.COHO_EXAMPLES;
    for (const file of readdirSync(folder)) {
      const example = JSON.parse(readFileSync(path.join(folder, file)));
      if (!["search", "ask"].includes(file.replace(".json", ""))) continue;
      const { body } = example.request;
      const said = await client.call({}, "POST", `/v1/${file.replace(".json", "")}`, body);
      assert.ok(said.hits || said.answer, file);
    }
  });
  await check("an answer streams", async () => {
    const heard = [];
    await client.ask({}, { question: QUESTION }, (name, value) => heard.push([name, value]));
    assert.equal(heard[0][0], "retrieval");
    assert.match(heard.filter(([name]) => name === "token").map(([, v]) => v.text).join(""), /13\.6/);
    assert.equal(heard.at(-1)[0], "done");
  });
  await check("what is wrong is said with what to do", async () => {
    const empty = mkdtempSync(path.join(os.tmpdir(), "coho-"));
    await refused(client.call({ home: empty }, "GET", "/v1/status"), /start `coho serve`/);
    await refused(client.call({ address: "http://127.0.0.1:1" }, "GET", "/v1/status"), /does not answer.*start/);
    await refused(client.call({ token: "wrong" }, "GET", "/v1/status"), /another coho/);
    await refused(client.ask({}, { question: "x".repeat(1 << 20) }, () => {}), /select less/);
    const old = await saying(404, "application/problem+json", '{"code":"no_such_route","detail":"x"}');
    await refused(client.call(old, "GET", "/v1/status"), /too old/);
    old.close();
    const newer = await saying(200, "application/json", '{"version":"7.0.0"}');
    assert.match(client.mismatch(await client.call(newer, "GET", "/v1/status")), /7\.0\.0 is running/);
    newer.close();
    const cut = await saying(200, "text/event-stream", 'event: token\ndata: {"text":"It is"}\n\nevent: do', true);
    const heard = [];
    await refused(client.ask(cut, { question: "x" }, (name) => heard.push(name)), /broke off: ask again/);
    assert.deepEqual(heard, ["token"]);
    cut.close();
    const half = await saying(200, "application/json", '{"version":', true);
    await refused(client.call(half, "GET", "/v1/status"), /broke off .*try again/);
    half.close();
    const other = await saying(200, "text/html", "<p>It works!</p>");
    await refused(client.call({ ...other, address: other.address.slice(7) }, "GET", "/v1/status"), /no coho.*address/);
    other.close();
    assert.equal(client.mismatch(await client.call({}, "GET", "/v1/status")), undefined);
    assert.equal(client.home({ home: "~/notes" }), path.join(os.homedir(), "notes"));
    const environment = process.env;
    process.env = { ...environment, COHO_HOME: "", XDG_DATA_HOME: "below/here" };
    assert.ok(path.isAbsolute(client.home({})), client.home({}));
    process.env = environment;
  });
  await check("a name that is told in codes is the one on disk, unless it is none or another is", () => {
    const at = (name) => path.join(folder, name);
    const folder = mkdtempSync(path.join(os.tmpdir(), "coho-"));
    for (const name of ["new\nline.md", "caf\u00e9.md", "as\\x0Atold.md", "as\ntold.md"]) writeFileSync(at(name), "one\ntwo\n");
    assert.equal(client.onDisk(at("new\\x0Aline.md")), at("new\nline.md"));
    assert.equal(client.onDisk(at("caf\\xC3\\xA9.md")), at("caf\u00e9.md"));
    for (const name of ["as\\x0Atold.md", "gar\\xE7on.md", "gone.md"]) assert.equal(client.onDisk(at(name)), at(name));
  });
  await check("another machine is not told the token of this one, but one of its own", async () => {
    const mapped = "http://[::ffff:127.0.0.1]:1";
    for (const address of ["http://notes.invalid", "127.0.0.1.invalid", "http://127.0.0.1@notes.invalid", mapped]) {
      const options = { home: "/nowhere", address };
      await refused(client.call(options, "GET", "/v1/status"), /is another machine: set the token/);
      await refused(client.ask(options, { question: QUESTION }, () => {}), /is another machine: set the token/);
    }
    await refused(client.call({ address: mapped, token: "its own" }, "GET", "/v1/status"), /does not answer/);
  });
  await check("where a service was killed, nobody is told the token", async () => {
    const folder = process.env.COHO_LEFT;
    for (const name of readdirSync(folder)) {
      const home = path.join(folder, name);
      await refused(client.call({ home }, "GET", "/v1/status"), /no coho is running on/);
      await refused(client.ask({ home }, { question: QUESTION }, () => {}), /no coho is running on/);
    }
  });
  await check("half a character is no reason to refuse what is searched for", async () => {
    assert.ok((await client.call({}, "POST", "/v1/search", { query: "float voltage \ud83d" })).hits.length);
  });
  await check("a service that hangs is given up, in the middle of an answer, too, and who will not wait may stop", async () => {
    const hanging = createServer((request, response) => {
      if (request.url !== "/v1/ask") return;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('event: token\ndata: {"text":"The start"}\n\n');
    });
    await new Promise((ready) => hanging.listen(0, "127.0.0.1", ready));
    const options = { address: `http://127.0.0.1:${hanging.address().port}`, token: "t" };
    const [heard, before] = [[], client.quiet.ms];
    client.quiet.ms = 300;
    await refused(client.call(options, "GET", "/v1/status"), /hangs/);
    await refused(client.ask(options, { question: QUESTION }, (name) => heard.push(name)), /hangs/);
    assert.deepEqual(heard, ["token"]);
    client.quiet.ms = before;
    const stop = new AbortController();
    const asked = client.call(options, "POST", "/v1/search", { query: "x" }, stop.signal);
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(asked, { name: "AbortError" });
    hanging.closeAllConnections();
    hanging.close();
  });
  await check("an answer can be stopped", async () => {
    const [stop, heard] = [new AbortController(), []];
    const hear = (name) => (heard.push(name), stop.abort());
    const asked = client.ask({}, { question: QUESTION, strategy: "naive" }, hear, stop.signal);
    await asked.catch((error) => assert.equal(error.name, "AbortError"));
    assert.ok(heard.length && !heard.includes("done"), heard);
  });
  await check("and while it is heard, when all of it has come, and before it is asked", async () => {
    const all = await saying(200, "text/event-stream", 'event: token\ndata: {"text":"It"}\n\nevent: done\ndata: {}\n\n');
    for (let n = 0; n < 20; n += 1) {
      const stop = new AbortController();
      await client.ask(all, { question: QUESTION }, () => stop.abort(), stop.signal);
    }
    all.close();
    await assert.rejects(client.ask({}, { question: QUESTION }, () => {}, AbortSignal.abort()), { name: "AbortError" });
  });
}

/** Loads a bundle whose editor is `stand_in`. */
function loaded(file, name, standIn) {
  const load = Module._load;
  Module._load = (wanted, ...rest) => (wanted === name ? standIn : load(wanted, ...rest));
  try {
    return createRequire(import.meta.url)(file);
  } finally {
    Module._load = load;
  }
}

/** What the extension uses of VS Code. */
function editor(seen) {
  class Position {
    constructor(line, character) {
      Object.assign(this, { line, character });
    }
  }
  class Range {
    constructor(a, b) {
      Object.assign(this, { start: a, end: b });
    }
  }
  const nothing = { dispose() {} };
  const selection = { active: { line: 0 } };
  const uri = (file) => ({ fsPath: file, path: file });
  return {
    Position,
    Range,
    StatusBarAlignment: { Right: 2 },
    TextEditorRevealType: { InCenter: 2 },
    Uri: { file: uri, joinPath: (base, ...rest) => uri(path.join(base.fsPath, ...rest)) },
    workspace: {
      getConfiguration: () => ({ get: (key) => seen.set[key] }),
      onDidChangeConfiguration: (run) => ((seen.changed = run), nothing),
      openTextDocument: async ({ fsPath }) => {
        const lines = readFileSync(fsPath, "utf8").split("\n");
        return { lineCount: lines.length, lines };
      },
      fs: { stat: async ({ fsPath }) => readFileSync(fsPath) },
    },
    window: {
      activeTextEditor: {
        selection,
        document: {
          uri: uri("/nowhere/unsaved.md"),
          lineCount: 1,
          lineAt: () => ({ text: seen.written, isEmptyOrWhitespace: false }),
          getText: (range) => (range === selection ? "" : seen.written),
        },
      },
      showTextDocument: async (document, { selection }) => {
        seen.opened = document.lines[selection.start.line];
        return { revealRange() {} };
      },
      showErrorMessage: (text) => (seen.error = text),
      showInformationMessage: (text) => (seen.told = text),
      showInputBox: async () => seen.typed ?? QUESTION,
      createStatusBarItem: () => (seen.item = { ...nothing, show() {} }),
      registerWebviewViewProvider: (_, provider) => ((seen.provider = provider), nothing),
      onDidChangeTextEditorSelection: () => nothing,
      onDidChangeActiveTextEditor: (run) => ((seen.switched = run), nothing),
      createQuickPick: () => {
        const on = (name) => (run) => (seen.pick[name] = run);
        seen.pick = { items: [], selectedItems: [], show() {}, hide() {}, dispose() {} };
        return Object.assign(seen.pick, { onDidChangeValue: on("changed"), onDidAccept: on("accepted"), onDidHide: on("hidden") });
      },
    },
    commands: {
      registerCommand: (name, run) => ((seen.commands[name] = run), nothing),
      executeCommand: async (name) => seen.ran.push(name),
    },
  };
}

async function until(is, what) {
  for (let n = 0; n < 300; n += 1) {
    if (await is()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`never: ${what}`);
}

async function vscode(browser) {
  const seen = { commands: {}, ran: [], set: {}, secrets: {}, pick: {}, written: "The morning train leaves Graz." };
  const extension = loaded(here("../../vscode/dist/extension.js"), "vscode", editor(seen));
  const secrets = {
    get: async (key) => seen.secrets[key],
    store: async (key, value) => (seen.secrets[key] = value),
    delete: async (key) => delete seen.secrets[key],
  };
  const context = { extensionUri: { fsPath: here("../../vscode") }, subscriptions: [], secrets };
  extension.activate(context);
  const page = await browser.newPage({ viewport: { width: 420, height: 900 } });
  await check("VS Code: the status item says how coho is", async () => {
    await until(() => seen.item.tooltip, "a look at the service");
    assert.match(seen.item.tooltip, /documents/);
  });
  await check("VS Code: a token is kept as a secret, sent, and forgotten", async () => {
    seen.typed = "wrong";
    await seen.commands["coho.setToken"]();
    assert.match(seen.item.tooltip, /another coho/);
    seen.typed = "";
    await seen.commands["coho.setToken"]();
    assert.deepEqual(seen.secrets, {});
    assert.match(seen.item.tooltip, /documents/);
    seen.typed = undefined;
  });
  await check("VS Code: a setting counts at once, and one of others changes nothing", async () => {
    seen.set = { address: "http://127.0.0.1:1" };
    assert.equal(seen.changed({ affectsConfiguration: (section) => section === "editor" }), false);
    await seen.changed({ affectsConfiguration: (section) => section === "coho" });
    assert.match(seen.item.tooltip, /does not answer/);
    assert.match(seen.item.text, /circle-slash/);
    const guarded = await saying(403, "application/problem+json", '{"detail": "this token may not read"}');
    seen.set = { address: guarded.address };
    await seen.changed({ affectsConfiguration: (section) => section === "coho" });
    assert.deepEqual([seen.item.text, seen.item.tooltip], ["$(beaker) coho", "this token may not read"]);
    guarded.close();
    seen.set = {};
  });
  await check("VS Code: without a selection it says what to do", async () => {
    await seen.commands["coho.askSelection"]();
    assert.match(seen.told, /select first/);
  });
  let heard;
  const view = {
    visible: true,
    show() {},
    onDidDispose() {},
    webview: {
      cspSource: "'self'",
      asWebviewUri: ({ fsPath }) => path.basename(fsPath),
      onDidReceiveMessage: (run) => (heard = run),
      postMessage: (message) => page.evaluate((said) => window.postMessage(said, "*"), message),
    },
  };
  seen.provider.resolveWebviewView(view);
  // Before its page listens.
  await seen.commands["coho.related"]();
  const numbers = [];
  await page.exposeFunction("toExtension", (message) => {
    if (message.id) numbers.push(message.id);
    return heard(message);
  });
  await page.addInitScript("window.acquireVsCodeApi = () => ({ postMessage: (m) => window.toExtension(m) })");
  await page.route("http://view.test/**", (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (!name) return route.fulfill({ contentType: "text/html", body: view.webview.html });
    const type = name.endsWith(".css") ? "text/css" : "text/javascript";
    return route.fulfill({ contentType: type, body: readFileSync(here(`../../vscode/dist/${name}`)) });
  });
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  await page.goto("http://view.test/");
  await check("VS Code: what was asked for before the panel was there comes when it is", async () => {
    await page.waitForSelector("#coho-related:not([hidden]) li");
    seen.set = { address: "http://127.0.0.1:1" };
    await seen.commands["coho.related"]();
    await page.waitForFunction(() => document.querySelector(".coho-message").textContent.includes("start `coho serve`"));
    seen.set = {};
    await seen.commands["coho.related"]();
    await page.waitForFunction(() => !document.querySelector(".coho-message").textContent);
  });
  await check("VS Code: what is related follows to another file", async () => {
    const shown = () => page.textContent("#coho-related .coho-list .coho-link");
    const before = seen.written;
    seen.written = "The float voltage of the charge controller.";
    seen.switched();
    await until(async () => (await shown()).startsWith("balcony-solar.md"), "what is related to the other file");
    seen.written = before;
  });
  await check("VS Code: an answer streams into the panel, and its citation opens at the line", async () => {
    await seen.commands["coho.ask"]();
    await page.waitForSelector("#coho-ask .coho-list li", { timeout: 60000 });
    assert.match(await page.textContent(".coho-answer"), /13\.6/);
    await page.click("#coho-ask .coho-list .coho-link");
    await until(() => seen.opened, "a file at its line");
    assert.match(seen.opened, /13\.6/);
    await page.click("text=Good");
    await page.waitForFunction(() => document.querySelector(".coho-message").textContent.includes("good"));
    await page.screenshot({ path: path.join(pictures, "vscode-ask.png") });
  });
  await check("VS Code: search, related, learned; nothing is said that the policy forbids", async () => {
    seen.set = { "search.k": 1 };
    await page.click("#coho-search-tab");
    await page.fill("#coho-search textarea", "train to Vienna");
    const composing = { key: "Enter", isComposing: true, bubbles: true, cancelable: true };
    const left = (area, event) => area.dispatchEvent(new KeyboardEvent("keydown", event));
    assert.ok(await page.$eval("#coho-search textarea", left, composing), "Enter is the input method's");
    await page.press("#coho-search textarea", "Enter");
    await page.waitForSelector("#coho-search li");
    assert.equal(await page.locator("#coho-search li").count(), 1);
    await page.screenshot({ path: path.join(pictures, "vscode-search.png") });
    await view.webview.postMessage({ kind: "do", what: "related", text: "The morning train leaves Graz.", path: "" });
    await page.click("#coho-related-tab");
    await page.waitForSelector("#coho-related li + li");
    seen.set = {};
    await page.click("#coho-learned-tab");
    await page.waitForFunction(() => document.querySelector("#coho-learned").textContent.length > 20);
    assert.deepEqual(wrong, []);
    await axe(page);
  });
  await check("VS Code: quick search opens a note, a file that is gone is told", async () => {
    await seen.commands["coho.search"]();
    await seen.pick.changed("charge controller");
    assert.ok(seen.pick.items[0].path, JSON.stringify(seen.pick.items[0]));
    seen.opened = undefined;
    seen.pick.selectedItems = [seen.pick.items[0]];
    seen.pick.accepted();
    await until(() => seen.opened !== undefined, "an open note");
    await seen.pick.changed(" ");
    assert.deepEqual([seen.pick.items, seen.pick.busy], [[], false]);
    await heard({ kind: "open", path: "/nowhere/gone.md", line: 3 });
    assert.match(seen.error, /not there any more/);
    await heard({ kind: "open", path: "/nowhere/[x](command:y).md", line: 3 });
    assert.ok(!seen.error.includes("](command:"), seen.error);
    const file = path.join(mkdtempSync(path.join(os.tmpdir(), "coho-")), "new\nline.md");
    writeFileSync(file, "one\ntwo\n");
    await heard({ kind: "open", path: file.replace("\n", "\\x0A"), line: 2 });
    assert.equal(seen.opened, "two");
  });
  await check("VS Code: quick search asks once, when nothing more is typed", async () => {
    let asked = "";
    const service = createServer((request, response) => {
      request.on("data", (piece) => (asked += piece));
      const hit = { title: "$(sync~spin)", path: "/n/a.md", lines: null, text: "cd $(pwd) $(ls -l)" };
      request.on("end", () => response.end(JSON.stringify({ hits: [hit] })));
    });
    await new Promise((ready) => service.listen(0, "127.0.0.1", ready));
    seen.set = { address: `http://127.0.0.1:${service.address().port}` };
    await Promise.all(["c", "ch", "charge"].map((query) => seen.pick.changed(query)));
    assert.equal(asked, '{"query":"charge"}');
    // A backslash has VS Code show no icon.
    const [{ label, description, detail }] = seen.pick.items;
    assert.deepEqual([label, description, detail], ["\\$(sync~spin)", "a.md", "cd \\$(pwd) $(ls -l)"]);
    seen.set = {};
    service.close();
  });
  await check("VS Code: a new page takes no answer for its own that another asked for", async () => {
    const before = numbers.splice(0);
    await page.reload();
    await page.click("#coho-learned-tab");
    await until(() => numbers.length > 0, "a request");
    assert.ok(Math.min(...numbers) > Math.max(...before));
  });
  await check("VS Code: what the owner set is sent, what is down is told", async () => {
    seen.set = { "answer.strategy": "extractive", "answer.k": 2 };
    await page.click("#coho-ask-tab");
    await page.fill("#coho-ask textarea", QUESTION);
    await page.press("#coho-ask textarea", "Enter");
    // The last answer stays until this one begins.
    await page.waitForSelector("#coho-ask >> text=Stop", { state: "hidden" });
    const [latest] = (await client.call({}, "GET", "/v1/answers?limit=1")).answers;
    assert.equal(latest.strategy, "extractive");
    seen.set = { address: "http://127.0.0.1:1" };
    await page.press("#coho-ask textarea", "Enter");
    await page.waitForFunction(() => document.querySelector(".coho-message").textContent.includes("start `coho serve`"));
  });
  context.subscriptions.forEach((one) => one.dispose());
  await page.close();
}

async function axe(page) {
  const source = readFileSync(createRequire(path.join(tools, "x.js")).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const { violations } = await page.evaluate(() =>
    axe.run("#panel", { rules: { region: { enabled: false }, "color-contrast": { enabled: true } } }),
  );
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), []);
}

async function obsidian(browser) {
  const seen = {};
  // A vault that is opened by a link to it; coho knows the folder itself.
  const vault = path.join(mkdtempSync(path.join(os.tmpdir(), "coho-")), "vault");
  symlinkSync(notes, vault);
  class Adapter {
    getBasePath = () => vault;
    getFullPath = (below) => path.join(vault, below);
  }
  class File {
    constructor(file) {
      this.path = file;
      this.basename = path.basename(file, ".md");
    }
  }
  class Markdown {
    file = new File("todo.md");
    editor = { getCursor: (end) => (end ? "here" : { line: 0 }), getValue: () => "of trains", replaceRange: (text, at) => at === "here" && (seen.inserted = text) };
  }
  class Plugin {
    constructor(app) {
      this.app = app;
    }
    loadData = async () => ({});
    registerView = (_, make) => (seen.view = make);
    addRibbonIcon = () => {};
    addCommand = (command) => (seen.commands = { ...seen.commands, [command.id]: command });
    addSettingTab = () => {};
    registerEvent = () => {};
    register = () => {};
  }
  const leaf = { view: new Markdown(), openFile: async (file, state) => (seen.opened = [file.path, state.eState.line ?? state.eState.subpath]) };
  const app = {
    vault: { adapter: new Adapter(), getAbstractFileByPath: (below) => new File(below) },
    workspace: {
      on: (name, run) => (seen[name] = run), getLeaf: () => leaf, getMostRecentLeaf: () => leaf,
      getLeavesOfType: () => [seen.leaf], getActiveViewOfType: () => leaf.view,
    },
    metadataCache: { getFileCache: () => ({ headings: (seen.headings ?? []).map((heading) => ({ heading })) }) },
    fileManager: { generateMarkdownLink: (file, from, sub) => `[[${file.basename}${sub}]]` },
  };
  const none = class {};
  const ItemView = class {
    contentEl = { empty() {} };
  };
  const standIn = {
    FileSystemAdapter: Adapter, ItemView, MarkdownView: Markdown, Plugin, PluginSettingTab: none, Setting: none,
    TFile: File, normalizePath: (below) => below.split(path.sep).join("/"),
    Notice: class { constructor(text) { seen.notice = text; } },
  };
  globalThis.window ??= { setTimeout, clearTimeout };
  const { default: CohoPlugin } = loaded(here("../../obsidian/dist/main.js"), "obsidian", standIn);
  const plugin = new CohoPlugin(app);
  await plugin.onload();
  assert.deepEqual(Object.keys(seen.commands), ["ask", "ask-selection", "search", "related", "review"]);
  seen.commands["ask-selection"].editorCallback({ getSelection: () => " " });
  assert.match(seen.notice, /select first/);
  const host = plugin.host();
  const page = await browser.newPage({ viewport: { width: 380, height: 900 } });
  await page.exposeFunction("call", (...all) => host.call(...all));
  await page.exposeFunction("ask", (question) => host.ask(question, (name, value) => page.evaluate(([n, v]) => window.heard(n, v), [name, value])));
  await page.exposeFunction("open_", (file, line) => host.open(file, line));
  await page.exposeFunction("insert", (citation) => host.insert(citation));
  const css = readFileSync(here("../../obsidian/dist/styles.css"), "utf8");
  await page.setContent(`<!doctype html><html lang="en"><head><title>coho</title><style>${css}</style></head><body><main id="panel"></main></body></html>`);
  await page.addScriptTag({ path: here("../dist/panel.js") });
  await page.evaluate(() => {
    const ask = (question, heard) => ((window.heard = heard), window.ask(question));
    window.panel = coho.mount(document.getElementById("panel"), { call: window.call, ask, open: window.open_, insert: window.insert });
  });
  await check("Obsidian: a citation opens in the vault and becomes a wikilink", async () => {
    await page.evaluate((question) => window.panel.ask(question), QUESTION);
    await page.waitForSelector("#coho-ask .coho-list li");
    await page.click("#coho-ask .coho-list .coho-link");
    await until(() => seen.opened, "a note");
    const [file, line] = seen.opened;
    assert.match(readFileSync(path.join(notes, file), "utf8").split("\n")[line], /13\.6/);
    await page.click("#coho-ask .coho-list >> text=Link");
    await until(() => seen.inserted, "a link");
    assert.match(seen.inserted, /^\[\[balcony-solar(#.+)?\]\]$/);
    await axe(page);
    await page.screenshot({ path: path.join(pictures, "obsidian-ask.png") });
  });
  await check("Obsidian: the review queue approves", async () => {
    await client.call({}, "POST", "/v1/writeback", {});
    await page.evaluate(() => window.panel.show("learned"));
    await page.waitForSelector(".coho-unit", { timeout: 60000 });
    await page.screenshot({ path: path.join(pictures, "obsidian-review.png") });
    await page.click(".coho-unit >> text=Approve");
    await page.waitForFunction(() => document.querySelector(".coho-message").textContent.startsWith("approved"));
    const { units } = await client.call({}, "GET", "/v1/units?state=active");
    assert.ok(units.length > 0);
  });
  await check("Obsidian: what is related is looked for where somebody looks", async () => {
    const asked = [];
    let shown = false;
    const view = seen.view({});
    Object.assign(view, { containerEl: { isShown: () => shown }, panel: { related: (...all) => asked.push(all) } });
    seen.leaf = { view };
    const later = () => new Promise((done) => setTimeout(done, 700));
    seen["editor-change"]();
    await later();
    assert.deepEqual(asked, []);
    shown = true;
    seen["editor-change"]();
    await later();
    assert.deepEqual(asked, [["of trains", path.join(notes, "todo.md")]]);
  });
  await check("Obsidian: a PDF opens at its page, and a link leads there", async () => {
    const leaflet = { path: path.join(notes, "reference/heat-pump-leaflet.pdf"), heading: null, title: "x", page: 7 };
    host.open(leaflet.path, 1, leaflet.page);
    await until(() => seen.opened?.[0].endsWith(".pdf"), "a PDF");
    assert.equal(seen.opened[1], "#page=7");
    host.insert(leaflet);
    assert.match(seen.inserted, /#page=7\]\]$/);
    host.open(path.join(notes, "todo.md"), 3, 7);
    await until(() => seen.opened?.[0].endsWith(".md"), "a note");
    assert.equal(seen.opened[1], 2);
  });
  await check("Obsidian: a link names the heading, though it holds what stands between headings", () => {
    const cases = [
      [["Intro", "Size > 5 GB", "5 GB"], "Intro > Size > 5 GB", "Size > 5 GB"],
      [["A", "B"], "A > B", "B"],
      [["Size > 5 GB"], "Size > 5 GB", "Size > 5 GB"],
      [[], "A > B", "B"],
      [["other"], "A > B [x]", "B  x"],
    ];
    for (const [headings, heading, wanted] of cases) {
      seen.headings = headings;
      host.insert({ path: path.join(notes, "projects/balcony-solar.md"), heading, title: "x", page: null });
      assert.equal(seen.inserted, `[[balcony-solar#${wanted}]]`);
    }
  });
  await check("Obsidian: a view that is closed stops its question", async () => {
    const view = seen.view({});
    let stopped = 0;
    view.panel = { stop: () => (stopped += 1) };
    await view.onClose();
    assert.equal(stopped, 1);
  });
  await check("Obsidian: what lies outside the vault is told", async () => {
    host.open("/etc/hostname", 1);
    assert.match(seen.notice, /not in this vault/);
  });
  await page.close();
}

/** The panel with a host that says what is rare. */
async function panel(browser) {
  const page = await browser.newPage();
  await page.setContent("<main id=panel></main>");
  await page.addStyleTag({ path: here("../src/panel.css") });
  await page.addScriptTag({ path: here("../dist/panel.js") });
  await page.evaluate(() => {
    const units = [...Array(23).keys()].map((n) => ({ id: n, title: `unit ${n}`, text: "", questions: [] }));
    const call = async (method, route, body) => {
      if (route.startsWith("/v1/units?")) return { units: route.includes("contested") ? units.slice(0, 1) : units.slice(1) };
      if (route === "/v1/units/3") throw new Error("unit 3 is gone");
      if (route.startsWith("/v1/answers/")) return (window.signals = [...(window.signals ?? []), [route, body]]);
      if (method === "PATCH") units.splice(units.findIndex((unit) => route.endsWith(`/${unit.id}`)), 1);
      const gone = { path: "n/a.md", lines: null, text: null, sentences: ["so"] };
      const there = { path: "n/b.md", file: "/n/b.md", lines: [3, 4], page: null, text: "so", sentences: ["so"] };
      const stands = { "/v1/units/0": [gone], "/v1/units/2": [there] };
      if (route !== "/v1/search") return { evidence: stands[route] ?? [] };
      window.searched = [...(window.searched ?? []), body.query];
      window.literal = body.literal;
      await new Promise((done) => setTimeout(done, body.query.startsWith("slow") ? 200 : 0));
      if (body.query === "slow and wrong") throw new Error("that search failed");
      return { hits: [{ path: body.query, lines: null, title: "", text: "" }] };
    };
    const ask = async (question, heard, signal) => {
      if (question === "down") throw new Error("nobody answers");
      if (question === "wait") {
        await new Promise((_, stopped) => signal.addEventListener("abort", () => stopped(signal.reason)));
      }
      if (question === "cited") {
        const citation = { n: 1, path: "/n/a.pdf", title: "a", heading: null, lines: null, page: 7, text: "so" };
        return heard("done", { id: "2", answer: "It is so. [1]", citations: [citation], claims: [] });
      }
      const claims = [{ supported: true, missing: [] }, { supported: false, missing: ["2031"] }];
      heard("done", { id: "1", answer: "It is red. [?]", citations: [], claims });
    };
    window.panel = coho.mount(document.getElementById("panel"), { call, ask, open: (...all) => (window.opened = all) });
  });
  const message = page.locator(".coho-message");
  await check("panel: what is not supported is explained, and stays where nobody answers", async () => {
    assert.notEqual(await message.evaluate((empty) => getComputedStyle(empty).display), "none");
    await page.evaluate(() => window.panel.ask("What?"));
    await page.getByText("your notes do not support this: they do not hold 2031").waitFor();
    await page.evaluate(() => window.panel.ask("down"));
    assert.equal(await message.textContent(), "nobody answers");
    assert.equal(await page.textContent(".coho-answer"), "It is red. [?]");
    assert.ok(!(await page.isVisible("text=Stop")) && (await page.isVisible("text=Good")));
  });
  await check("panel: an answer stands below its own question, and is not judged while another is asked", async () => {
    const asked = page.locator("#coho-ask > .coho-soft").first();
    assert.equal(await asked.textContent(), "What?");
    await page.evaluate(() => void window.panel.ask("wait"));
    assert.equal(await page.inputValue("#coho-ask textarea"), "wait");
    assert.equal(await page.getAttribute(".coho-answer", "aria-busy"), "true");
    assert.equal(await asked.textContent(), "What?");
    assert.ok((await page.isVisible("text=Stop")) && !(await page.isVisible("text=Good")));
    await page.press("text=Stop", "Enter");
    await page.waitForSelector("#coho-ask >> text=Stop", { state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Ask your notes");
    await page.evaluate(() => document.activeElement.blur());
    assert.ok(await page.isVisible("text=Good"));
    assert.equal(await page.getAttribute(".coho-answer", "aria-busy"), "false");
  });
  await check("panel: who calls a view types into it, and nobody's keys are taken else", async () => {
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
    for (const view of ["search", "ask"]) {
      await page.evaluate((name) => window.panel.show(name), view);
      await page.keyboard.type(view);
      assert.match(await page.inputValue(`#coho-${view} textarea`), new RegExp(`${view}$`));
      assert.equal(await page.textContent(".coho-tabs [aria-pressed=true]"), view === "ask" ? "Ask" : "Search");
    }
  });
  await check("panel: a mark opens its passage and tells of it, as its line does", async () => {
    await page.evaluate(() => window.panel.ask("cited"));
    assert.equal(await page.getAttribute(".coho-answer .coho-link", "title"), "a.pdf, page 7");
    for (const link of [".coho-answer .coho-link", "#coho-ask .coho-list .coho-link"]) {
      await page.evaluate(() => (window.signals = []));
      await page.click(link);
      assert.deepEqual(await page.evaluate(() => window.opened), ["/n/a.pdf", 1, 7]);
      assert.deepEqual(await page.evaluate(() => window.signals), [["/v1/answers/2/signals", { kind: "opened" }]]);
    }
  });
  await check("panel: contested units come first, one that is gone is left out, the rest is counted", async () => {
    await page.click("#coho-learned-tab");
    await page.getByText("and 3 more").waitFor();
    assert.equal(await message.textContent(), "");
    assert.equal(await page.locator(".coho-unit").count(), 19);
    assert.match(await page.locator(".coho-unit").first().textContent(), /unit 0.*a\.md \(gone\)so/);
    await page.click("#coho-learned .coho-link");
    assert.deepEqual(await page.evaluate(() => window.opened), ["/n/b.md", 3, null]);
    await page.locator("text=Approve").first().click();
    await page.getByText("approved: unit 0").waitFor();
    assert.match(await page.evaluate(() => document.activeElement.textContent), /^unit 1A/);
  });
  await check("panel: when the last one that is shown is decided the next come", async () => {
    for (let left = 18; left > 0; left -= 1) {
      assert.equal(await page.locator(".coho-unit").count(), left);
      const title = await page.locator(".coho-unit strong").first().textContent();
      await page.locator(".coho-unit >> text=Reject").first().click();
      await page.getByText(`rejected: ${title}`, { exact: true }).waitFor();
    }
    await page.getByText("unit 20", { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.querySelectorAll(".coho-unit").length), 3);
  });
  await check("panel: what is related is looked for when somebody looks", async () => {
    // As it is written: what is torn apart between letters is no word of Hindi.
    await page.evaluate(() => window.panel.related("tag:x हिन्दी", ""));
    assert.equal(await page.evaluate(() => window.searched), undefined);
    await page.click("#coho-related-tab");
    await page.waitForSelector("#coho-related li");
    assert.deepEqual(await page.evaluate(() => [window.searched, window.literal]), [["tag:x हिन्दी"], true]);
  });
  await check("panel: an older search does not overtake a newer one", async () => {
    await page.evaluate(() => Promise.all([window.panel.search("slow"), window.panel.search("fast")]));
    assert.equal(await page.textContent("#coho-search .coho-link"), "fast");
    await page.evaluate(() => Promise.all([window.panel.search("slow and wrong"), window.panel.search("fast")]));
    assert.deepEqual([await page.textContent("#coho-search .coho-link"), await message.textContent()], ["fast", "1 found"]);
  });
  await check("panel: what a search found is not said over another view", async () => {
    await page.click("#coho-ask-tab");
    assert.equal(await message.textContent(), "");
    const found = page.evaluate(() => window.panel.search("slow"));
    await page.click("#coho-ask-tab");
    await found;
    assert.equal(await message.textContent(), "");
  });
  await page.close();
}

mkdirSync(pictures, { recursive: true });
assert.equal(readFileSync(here("../../vscode/package.json"), "utf8"), manifestAsItShouldBe(), "run `make connectors`: settings differ from coho's schema");
await clients();
const { chromium } = await import(pathToFileURL(createRequire(path.join(tools, "x.js")).resolve("playwright-core")).href).then((m) => m.default ?? m);
const browser = await chromium.launch({ executablePath: process.env.COHO_CHROMIUM, args: ["--no-sandbox"] });
try {
  await vscode(browser);
  await obsidian(browser);
  await panel(browser);
} finally {
  await browser.close();
}
console.log("ALL OK");
process.exit(0);
