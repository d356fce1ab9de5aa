// The page: asks the API like any other client. Everything that comes from notes is put into the
// document as text, never as markup. `marks.js` stands before it.

const $ = (id) => document.getElementById(id);
const views = ["ask", "search", "units", "sources", "status"];
// After so long without a byte a service that hangs is given up. A stream is never quiet for longer
// than 15 seconds while somebody writes to it.
const QUIET_MS = 60000;
// What is shown at once of a passage that was found.
const MOST_LETTERS = 400;
// What was asked before is shown of so many answers.
const MOST_ANSWERS = 20;
let token = "";
let answer = null;
let running = null;
let watching = null;
let searched = 0;
let listings = 0;
// What the answers of this tab came to; of those that a model wrote, also how fast it wrote.
const spent = { answers: 0, joules: 0, method: "", tokens: 0, ms: 0 };

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A browser that blocks cookies has no storage, and says so by an error: then nothing is remembered.
function remembered(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function remember(storage, key, value) {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, value);
  } catch {
    // This page goes on without.
  }
}

function say(text) {
  $("message").textContent = text;
}

// Ends a request when `signal` does, when nothing was heard for `ms`, or by `leave`; where `ms` is 0, no silence
// ends it.
function patience(signal, ms) {
  const end = new AbortController();
  let timer = 0;
  const over = () => clearTimeout(timer);
  const heard = () => {
    over();
    const hangs = () => end.abort(new Error("coho hangs: try again, or start `coho serve` anew"));
    if (ms) timer = setTimeout(hangs, ms);
  };
  const stop = () => end.abort(signal.reason);
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  heard();
  return { signal: end.signal, heard, over, leave: (why) => end.abort(why) };
}

async function send(method, path, body, wait, accept) {
  const response = await fetch(path, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(accept ? { Accept: accept } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: wait.signal,
  }).catch(() => {
    throw wait.signal.aborted ? wait.signal.reason : new Error("coho does not answer: start `coho serve`");
  });
  if (response.ok) return response;
  if (response.status === 401) enter();
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // The status says it all.
  }
  const said = [problem.detail || `error ${response.status}`, problem.hint].filter(Boolean).join(": ");
  throw Object.assign(new Error(said), { status: response.status });
}

/** What the service says, whole. What is `long` may take its time while the service says that it is there. */
async function call(method, path, body, long = false) {
  const wait = patience(undefined, long ? 0 : QUIET_MS);
  const asking = long ? setInterval(() => read("/healthz").catch(wait.leave), QUIET_MS) : 0;
  try {
    const text = await (await send(method, path, body, wait)).text();
    return text ? JSON.parse(text) : undefined;
  } catch (error) {
    throw wait.signal.aborted ? wait.signal.reason : error;
  } finally {
    clearInterval(asking);
    wait.over();
  }
}

const read = (path) => call("GET", path);

/** What the service says piece by piece: events, once it has begun. */
async function stream(method, path, body, signal) {
  const wait = patience(signal, QUIET_MS);
  try {
    return events(await send(method, path, body, wait, "text/event-stream"), wait);
  } catch (error) {
    wait.over();
    throw error;
  }
}

function enter() {
  token = "";
  watching?.abort();
  remember("sessionStorage", "token", null);
  for (const view of views) $(view).hidden = true;
  $("enter").hidden = false;
  $("token").focus();
}

function show(view) {
  if (!token) return enter();
  $("enter").hidden = true;
  say("");
  for (const name of views) $(name).hidden = name !== view;
  for (const button of document.querySelectorAll("nav button"))
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  const load = { units: units, sources: sources, status: status }[view];
  if (load) load().catch((error) => say(error.message));
  else $(view === "ask" ? "question" : "query").focus();
}

// Server-sent events of a response, one by one.
async function* events(response, wait) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      // A connection that breaks ends them as one that is closed does.
      const { value, done } = await reader.read().catch(() => {
        wait.signal.throwIfAborted();
        return { done: true };
      });
      if (done) return;
      wait.heard();
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const lines = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        const name = lines.find((line) => line.startsWith("event:"));
        const data = lines.filter((line) => line.startsWith("data:"));
        if (data.length)
          yield [name ? name.slice(6).trim() : "message", JSON.parse(data.map((l) => l.slice(5)).join("\n"))];
      }
    }
  } finally {
    wait.over();
  }
}

async function ask(question) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  answer = null;
  let failed = false;
  $("answer").textContent = "";
  $("answer").setAttribute("aria-busy", "true");
  $("citations").replaceChildren();
  $("passage").hidden = true;
  $("after").hidden = true;
  $("unsupported").hidden = true;
  $("stop").hidden = false;
  try {
    for await (const [name, data] of await stream("POST", "/v1/ask", { question, stream: true }, mine.signal)) {
      if (running !== mine) return;
      if (name === "token") $("answer").append(data.text);
      else if (name === "error") {
        failed = true;
        say(data.detail);
      } else if (name === "done") finished(data);
    }
    if (running === mine && !answer && !failed) say("The answer broke off; ask again.");
  } finally {
    // Whoever asked again meanwhile has an answer of their own running.
    if (running === mine) {
      running = null;
      // The button that was pressed goes.
      if (document.activeElement === $("stop")) $("question").focus();
      $("stop").hidden = true;
      $("answer").setAttribute("aria-busy", "false");
    }
  }
}

function finished(whole) {
  spent.answers += 1;
  spent.joules += whole.energy.joules;
  spent.method = whole.energy.method;
  if (whole.tokens.generated && whole.timing.generate_ms) {
    spent.tokens += whole.tokens.generated;
    spent.ms += whole.timing.generate_ms;
  }
  tell(whole);
  if ($("before").open) before().catch((error) => say(error.message));
}

function tell(whole) {
  answer = whole;
  $("answer").replaceChildren(
    ...pieces(whole.answer).map((part) => {
      const number = /^\[(\d+)\]$/.exec(part);
      const citation = number && whole.citations.find((c) => c.n === Number(number[1]));
      return citation ? opener(citation, part) : part;
    }),
  );
  $("citations").replaceChildren(
    ...whole.citations.map((citation) => {
      const item = element("li");
      item.append(opener(citation, place(citation)));
      if (citation.unit_id) item.append(element("span", "  found through what was learned", { class: "place" }));
      return item;
    }),
  );
  $("unsupported").textContent = doubt(whole.claims);
  $("unsupported").hidden = !$("unsupported").textContent;
  const ms = Math.round(whole.timing.total_ms);
  const learned = whole.steps.some((step) => step.kind === "recall") ? ", from what was learned" : "";
  $("cost").textContent =
    `${ms} ms, ${whole.tokens.prompt + whole.tokens.generated} tokens, ${whole.energy.joules.toFixed(1)} J${learned}`;
  $("after").hidden = false;
}

/** What was asked before: each question shows what was answered then. */
async function before() {
  const listed = await read(`/v1/answers?brief=true&limit=${MOST_ANSWERS}`);
  const items = listed.answers.map(({ id, question }) => {
    const letters = [...question];
    const label = letters.length > MOST_LETTERS ? `${letters.slice(0, MOST_LETTERS).join("")}…` : question;
    const button = element("button", label, { type: "button", class: "cite" });
    button.addEventListener("click", () => recall(id).catch((error) => say(error.message)));
    const item = element("li");
    item.append(button);
    return item;
  });
  $("asked").replaceChildren(...(items.length ? items : [element("li", "Nothing yet.")]));
}

async function recall(id) {
  // Whoever looks back wants no more of the answer that is being written.
  running?.abort();
  const mine = new AbortController();
  running = mine;
  $("stop").hidden = true;
  $("answer").setAttribute("aria-busy", "false");
  $("passage").hidden = true;
  say("");
  const whole = await read(`/v1/answers/${id}`);
  // Another was asked for meanwhile.
  if (running !== mine) return;
  running = null;
  $("question").value = whole.question;
  tell(whole);
  $("answer").focus();
}

function place(citation) {
  const lines = citation.lines ? `:${citation.lines[0]}-${citation.lines[1]}` : "";
  const page = citation.page ? ` page ${citation.page}` : "";
  return `${citation.path}${lines}${page}`;
}

function opener(citation, label) {
  // A mark alone, "[1]", says nothing of where it leads.
  const button = element("button", label, { type: "button", class: "cite", title: place(citation) });
  button.addEventListener("click", () => open(citation));
  return button;
}

// The passage around a citation, with the cited words marked.
function open(citation) {
  const has = (hit) => hit.chunk_id === citation.chunk_id || (hit.joined || []).includes(citation.chunk_id);
  const hit = answer.retrieval.hits.find(has);
  // Of an answer of before, what was found may be gone from the notes.
  const text = hit?.text || citation.text;
  const at = text.indexOf(citation.text);
  const passage = $("passage");
  passage.replaceChildren(element("p", place(citation), { class: "place" }));
  if (at < 0) passage.append(text);
  else passage.append(text.slice(0, at), element("mark", citation.text), text.slice(at + citation.text.length));
  passage.hidden = false;
  passage.focus();
  call("POST", `/v1/answers/${answer.id}/signals`, { kind: "opened" }).catch(() => {});
}

async function judge(verdict) {
  if (!answer) return;
  if (answer.unkept) return say("It could not be kept, and cannot be judged.");
  await call("POST", `/v1/answers/${answer.id}/feedback`, { verdict });
  say(`Noted: it was ${verdict}.`);
}

async function copy() {
  if (!answer) return;
  if (!navigator.clipboard) return say("This browser copies only over https or on localhost.");
  await navigator.clipboard.writeText(answer.answer);
  say("Copied.");
  await call("POST", `/v1/answers/${answer.id}/signals`, { kind: "copied" }).catch(() => {});
}

// The start of a passage, and what shows the rest of it.
function passage(text) {
  const letters = [...text];
  if (letters.length <= MOST_LETTERS) return [element("p", text)];
  const start = `${letters.slice(0, MOST_LETTERS).join("")}…`;
  const shown = element("p", start);
  const more = element("button", "Whole passage", { type: "button", "aria-expanded": "false" });
  more.addEventListener("click", () => {
    const open = more.getAttribute("aria-expanded") !== "true";
    more.setAttribute("aria-expanded", String(open));
    shown.textContent = open ? text : start;
  });
  return [shown, more];
}

async function search(query, explain) {
  searched += 1;
  const mine = searched;
  // Whoever searched again meanwhile hears nothing more of this one.
  const newest = () => mine === searched;
  const found = await call("POST", "/v1/search", { query, explain }).catch((error) => {
    if (newest()) throw error;
  });
  if (!newest()) return;
  $("hits").replaceChildren(
    ...found.hits.map((hit) => {
      const item = element("li");
      item.append(element("div", place(hit), { class: "place" }));
      item.append(element("strong", [hit.title, hit.heading].filter(Boolean).join(" > ")));
      item.append(...passage(hit.text));
      if (hit.explain) {
        const said = hit.explain;
        const rank = (n) => (n ? `place ${n}` : "not proposed");
        item.append(
          element(
            "div",
            `score ${hit.score.toFixed(3)}; vectors ${said.dense.toFixed(2)} (${rank(said.dense_rank)}), ` +
              `words ${said.lexical.toFixed(2)} (${rank(said.lexical_rank)}); vectors weigh ${said.dense_weight.toFixed(2)}`,
            { class: "place" },
          ),
        );
      }
      return item;
    }),
  );
  // Who does not see the list hears that it is there; who has gone to another view does not care.
  if ($("search").hidden) return;
  say(found.hits.length ? `${found.hits.length} found.` : "Nothing found.");
}

async function units() {
  listings += 1;
  const mine = listings;
  const list = $("unit-list");
  list.setAttribute("aria-busy", "true");
  try {
    const listed = await read(`/v1/units?limit=1000&state=${$("state").value}`);
    const asked = listed.units.slice(0, 25).map((unit) => read(`/v1/units/${unit.id}`));
    // One may be gone by now.
    const stories = (await Promise.allSettled(asked)).flatMap((one) => one.value ?? []);
    // Another state was chosen meanwhile.
    if (mine !== listings) return;
    list.replaceChildren(...stories.map(unitCard));
    if (!stories.length) list.append(element("p", "None."));
    if (listed.units.length > 25) list.append(element("p", `and ${listed.units.length - 25} more`, { class: "place" }));
  } catch (error) {
    if (mine === listings) throw error;
  } finally {
    if (mine === listings) list.setAttribute("aria-busy", "false");
  }
}

function unitCard(story) {
  const { unit, evidence } = story;
  const card = element("article", undefined, { class: "unit", "aria-label": unit.title });
  card.append(element("h3", unit.title));
  const sides = element("div", undefined, { class: "sides" });
  const left = element("div");
  left.append(element("p", unit.text), element("p", unit.questions.join("\n"), { class: "place" }));
  const right = element("div");
  for (const stand of evidence) {
    const where = place({ ...stand, path: stand.file ?? stand.path });
    right.append(element("p", stand.text === null ? `${where}  (what it quotes is gone)` : where, { class: "place" }));
    right.append(element("p", stand.text ?? stand.sentences.join(" ")));
  }
  sides.append(left, right);
  card.append(sides, element("p", unit.reason, { class: "place" }));
  const row = element("div", undefined, { class: "row" });
  const decisions = { approve: "Put in use", reject: "It is wrong", retire: "Of no use" };
  for (const [decision, label] of Object.entries(decisions)) {
    if (unit.state === "retired" && decision !== "approve") continue;
    const button = element("button", label, { type: "button" });
    button.addEventListener("click", () => decide(unit, decision).catch((error) => say(error.message)));
    row.append(button);
  }
  card.append(row);
  return card;
}

/** Decides about a unit, and offers the way back. */
async function decide(unit, decision) {
  const now = await call("PATCH", `/v1/units/${unit.id}`, { decision });
  await units();
  const state = $("state").querySelector(`[value="${now.state}"]`).textContent;
  const said = $("decided");
  said.replaceChildren(element("span", `“${unit.title}” is ${state} now.`));
  if (decision !== "undo") {
    const undo = element("button", "Undo", { type: "button" });
    undo.addEventListener("click", () => decide(now, "undo").catch((error) => say(error.message)));
    said.append(undo);
  }
  said.hidden = false;
  // The button that was pressed is gone with its card.
  said.focus();
}

async function learn() {
  $("decided").hidden = true;
  say("Looking at your answers…");
  // It may take as long as the owner lets it.
  const report = await call("POST", "/v1/writeback", {}, true);
  const did = `${report.considered.length} answers judged, ${report.made} units made, ${report.promoted.length} put in use.`;
  const why = report.reason && `${report.rolled_back ? "Rolled back" : "It ended early"}: ${report.reason}.`;
  say([did, why].filter(Boolean).join(" "));
  await units();
}

async function sources() {
  const listed = await read("/v1/sources");
  $("source-list").replaceChildren(
    ...listed.sources.map((source) => {
      const problems = source.problems ? `, ${source.problems} not read` : "";
      const away = source.reachable ? "" : ` (${source.away || "not reachable"})`;
      return element("li", `${source.path}: ${source.documents} documents${problems}${away}`);
    }),
  );
}

/** Listens to what the service reads, and comes back when it was away: when it was started anew. */
async function watch() {
  watching?.abort();
  const mine = new AbortController();
  watching = mine;
  let wait = 1000;
  while (!mine.signal.aborted) {
    try {
      const notices = await stream("GET", "/v1/events", undefined, mine.signal);
      wait = 1000;
      heard({ event: "connected" });
      for await (const [, notice] of notices) heard(notice);
    } catch (error) {
      // Whose token may not listen now may not in a moment; a service that is busy may be heard then.
      if (mine.signal.aborted || [401, 403].includes(error.status)) return;
    }
    $("progress").textContent = "coho does not answer; trying again.";
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 30000);
  }
}

function heard(notice) {
  if (notice.event === "progress") {
    $("progress").textContent = `${notice.files_done} of ${notice.files_total} files`;
  } else if (notice.event === "building") {
    $("progress").textContent = `${notice.chunks_left} passages left for the new embedding model`;
  } else {
    $("progress").textContent = notice.event === "failed" ? notice.message : "Nothing is being read.";
    if (!$("sources").hidden) sources().catch(() => {});
  }
}

async function status() {
  const said = await read("/v1/status");
  const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;
  const facts = {
    Version: said.version,
    Documents: said.documents,
    Passages: said.chunks,
    "Units in use": said.units.active,
    "Units in trial": said.units.shadow,
    "Units contested": said.units.contested,
    Embedding: said.models.embedder,
    "Language model": (said.models.generator || "none: answers are quotes")
      + (said.models.loading_percent == null ? "" : `, ${said.models.loading_percent} % loaded`),
    "Tokens read and written": `${said.tokens.prompt} and ${said.tokens.generated}`,
    "Files not read": said.problems,
    "What can leave this machine": said.network.beyond.join("; ") || "nothing",
    "Requests that left for the remote model": said.network.left.requests,
    "Kept from leaving by the system": said.network.enforced ? "yes" : "no (serve --air-gap)",
  };
  // Who may see a part of the notes is not told of the whole.
  if (said.home) facts["Data folder"] = said.home;
  if (said.disk) facts["On disk"] = mib(said.disk.ledger_bytes + said.disk.vector_bytes + said.disk.term_bytes);
  if (said.tokens.spared !== null) facts["Spared"] = said.tokens.spared.toFixed(2);
  if (spent.ms) facts["Written in this tab"] = `${((spent.tokens / spent.ms) * 1000).toFixed(1)} tokens/s`;
  if (spent.answers)
    facts["Energy in this tab"] = `${spent.joules.toFixed(1)} J, answers: ${spent.answers} (${spent.method})`;
  $("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]),
  );
  learning(said.learning ? said.learning.points : []);
}

/** The gain of past questions by units, with its interval, over the batches. */
function learning(points) {
  const plot = $("learning-line");
  plot.toggleAttribute("hidden", points.length < 2);
  if (!points.length) return;
  const gains = points.map((p) => [p.mrr[1] - p.mrr[0], ...p.interval].map((v) => v * 100));
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
  const last = points.at(-1);
  const [gain, low, high] = gains.at(-1);
  $("learning-said").textContent =
    `Your ${last.questions} past questions find their evidence ${signed(gain)} points better with ` +
    `${last.units} units than without (95 % interval ${signed(low)} to ${signed(high)}; mean reciprocal rank), ` +
    `after ${points.length} measurements.`;
  const most = Math.max(1, ...gains.flat());
  const least = Math.min(-1, ...gains.flat());
  const x = (n) => 40 + (n / Math.max(1, points.length - 1)) * 580;
  const y = (value) => 10 + ((most - value) / (most - least)) * 140;
  const shape = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  };
  const line = gains.map(([value], n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  plot.replaceChildren(
    shape("path", { d: `M40 ${y(0)}H620`, class: "zero" }),
    shape("text", { x: 34, y: y(0) + 4, class: "end" }, "0"),
    shape("text", { x: 34, y: y(most) + 8, class: "end" }, signed(most)),
    ...gains.map(([, down, up], n) =>
      shape("path", { d: `M${x(n).toFixed(1)} ${y(up).toFixed(1)}V${y(down).toFixed(1)}`, class: "interval" })),
    shape("path", { d: line, class: "course" }),
    ...gains.map(([value], n) => shape("circle", { cx: x(n).toFixed(1), cy: y(value).toFixed(1), r: 3 })),
  );
}

function on(form, work) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    Promise.resolve(work()).catch((error) => {
      if (error.name !== "AbortError") say(error.message);
    });
  });
}

function click(button, work) {
  $(button).addEventListener("click", () => Promise.resolve(work()).catch((error) => say(error.message)));
}

on("enter-form", () => begin($("token").value.trim()));
on("ask-form", () => {
  say("");
  return ask($("question").value);
});
on("search-form", () => search($("query").value, $("explain").checked));
click("stop", () => running?.abort());
click("good", () => judge("good"));
click("bad", () => judge("bad"));
click("copy", copy);
click("learn", learn);
$("before").addEventListener("toggle", () => {
  if ($("before").open) before().catch((error) => say(error.message));
});
$("state").addEventListener("change", () => units().catch((error) => say(error.message)));
for (const button of document.querySelectorAll("nav button"))
  button.addEventListener("click", () => show(button.dataset.view));
// Who speaks to the browser, or hits a key by chance, switches them off.
function keys(wanted) {
  $("keys").checked = wanted;
  document.body.classList.toggle("keyless", !wanted);
  remember("localStorage", "keys", wanted ? "on" : "off");
}
keys(remembered("localStorage", "keys") !== "off");
$("keys").addEventListener("change", () => keys($("keys").checked));
document.addEventListener("keydown", (event) => {
  // The keys are the input method's while it composes a word: Escape takes that back.
  if (event.isComposing) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") document.activeElement.blur();
  if (typing || !$("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  const view = views[Number(event.key) - 1];
  if (view) show(view);
  else if (event.key === "/") show("ask");
  else if ($("ask").hidden) return;
  else if (event.key === "g") judge("good").catch((error) => say(error.message));
  else if (event.key === "b") judge("bad").catch((error) => say(error.message));
  else if (event.key === "c") copy().catch((error) => say(error.message));
  else return;
  event.preventDefault();
});

async function begin(given) {
  // What a header cannot hold would be told as a service that is away.
  if (!/^[!-~]+$/.test(given)) {
    enter();
    throw new Error("That is no token: paste the content of the file `token`, and nothing else.");
  }
  token = given;
  let away = "";
  await read("/v1/status").catch((error) => {
    // A token that may only ask is told nothing of the whole.
    if (error.status === 403) return;
    if (error.status < 500) throw error;
    // It is only not there yet: `watch` comes back.
    away = error.message;
  });
  remember("sessionStorage", "token", token);
  // It may be somebody else's now.
  $("before").open = false;
  show("ask");
  say(away);
  watch();
}

// A token in the fragment never reaches a server or a log; nor does it stay in the address.
function given() {
  const told = new URLSearchParams(location.hash.slice(1)).get("token");
  if (told) history.replaceState(null, "", location.pathname);
  return told;
}

// Where the page is open already, an address with another fragment does not load it anew.
addEventListener("hashchange", () => {
  const told = given();
  if (told) begin(told).catch((error) => say(error.message));
});
const known = given() || remembered("sessionStorage", "token");
if (known) begin(known).catch((error) => say(error.message));
else enter();
