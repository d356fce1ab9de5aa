// The panel that editors show: ask, search, what is related, what was learned. It knows the page it
// is in and a host, which speaks to the service and opens files; it builds nodes, never markup.

import { doubt, pieces } from "../../../src/http/page/marks.js";

export interface Citation {
  n: number;
  path: string;
  title: string;
  heading: string | null;
  lines: [number, number] | null;
  page: number | null;
  text: string;
}

/** A sentence of an answer; `missing` are the numbers, dates and names that the notes do not hold. */
interface Claim {
  supported: boolean;
  missing: string[];
}

/** Where sentences of a unit stand; no `text` and no `file` where they do not any more. */
interface Stand {
  path: string;
  /** Its whole path, which can be opened; an older coho does not tell it. */
  file?: string | null;
  lines: [number, number] | null;
  page?: number | null;
  text: string | null;
  sentences: string[];
}

export interface Host {
  call(method: string, route: string, body?: unknown): Promise<any>;
  ask(question: string, heard: (name: string, value: any) => void, signal: AbortSignal): Promise<void>;
  /** `page` is that of a PDF, which has no lines. */
  open(path: string, line: number, page?: number | null): void;
  /** Puts a link to a citation into the note that is open. */
  insert?(citation: Citation): void;
}

export interface Panel {
  ask(question: string): Promise<void>;
  search(query: string): Promise<void>;
  related(text: string, path: string): Promise<void>;
  /** Shows a view; where it has a box, that takes the keys. */
  show(view: View): void;
  /** Stops the answer that is being written; what is there stays. */
  stop(): void;
}

export type View = "ask" | "search" | "related" | "learned";

const TITLES: [View, string][] = [
  ["ask", "Ask"],
  ["search", "Search"],
  ["related", "Related"],
  ["learned", "Learned"],
];

/** As much of a passage as is looked for elsewhere. */
const MOST_LETTERS = 2000;

/** Units whose evidence is shown at once. */
const MOST_UNITS = 20;

type Child = Node | string | null | undefined;

function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child): child is Node | string => child != null && child !== ""));
  return element;
}

function button(text: string, run: () => unknown, attributes: Record<string, string> = {}): HTMLButtonElement {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", run);
  return made;
}

function place(citation: { path: string; lines: [number, number] | null; page?: number | null }): string {
  const name = citation.path.split(/[\\/]/).pop() ?? citation.path;
  if (citation.lines) return `${name}:${citation.lines[0]}`;
  return citation.page ? `${name}, page ${citation.page}` : name;
}

/** Builds the panel below `root`. */
export function mount(root: HTMLElement, host: Host): Panel {
  const message = make("p", { class: "coho-message", role: "status", "aria-live": "polite" });
  // No ARIA tabs: who is told of those reaches for the arrow keys.
  const tabs = make("nav", { class: "coho-tabs", "aria-label": "Views" });
  const views = new Map<View, HTMLElement>();
  for (const [view, title] of TITLES) {
    const id = `coho-${view}`;
    tabs.append(button(title, () => show(view), { id: `${id}-tab` }));
    views.set(view, make("section", { id, "aria-label": title, hidden: "" }));
  }
  root.classList.add("coho");
  root.replaceChildren(tabs, message, ...views.values());

  const say = (text: string) => (message.textContent = text);
  const failed = (error: unknown) => {
    if ((error as Error).name !== "AbortError") say((error as Error).message);
  };

  function show(view: View) {
    // What was said was of the view before.
    if (views.get(view)?.hidden) say("");
    for (const [name, section] of views) {
      section.hidden = name !== view;
      const tab = tabs.querySelector(`#coho-${name}-tab`);
      tab?.setAttribute("aria-pressed", String(name === view));
    }
    if (view === "learned") void units().catch(failed);
    if (view === "related") void lookNear();
  }

  function form(label: string, run: (text: string) => Promise<void>) {
    const input = make("textarea", { rows: "2", "aria-label": label, placeholder: label });
    const made = make("form", {}, input, make("button", { type: "submit" }, label.split(" ")[0]));
    made.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) void run(input.value).catch(failed);
    });
    input.addEventListener("keydown", (event) => {
      // Enter that ends a word of an input method sends nothing.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        made.requestSubmit();
      }
    });
    return { made, input };
  }

  // Ask. What stands in the box may be another question by now, or one that nobody answered.
  const asked = make("p", { class: "coho-soft", hidden: "" });
  const answer = make("div", { class: "coho-answer", "aria-live": "polite" });
  const unsupported = make("p", { class: "coho-soft", hidden: "" });
  const citations = make("ol", { class: "coho-list" });
  const stop = button("Stop", () => halt(), { hidden: "" });
  const after = make("div", { class: "coho-row" });
  const question = form("Ask your notes", ask);
  views.get("ask")?.append(question.made, asked, answer, unsupported, citations, stop, after);
  let running: AbortController | undefined;

  const halt = () => running?.abort();

  const visit = (cited: Citation) => host.open(cited.path, cited.lines?.[0] ?? 1, cited.page);

  /** Opens a citation of an answer, and tells coho that it was looked at. */
  function follow(id: string, citation: Citation) {
    visit(citation);
    void host.call("POST", `/v1/answers/${id}/signals`, { kind: "opened" }).catch(() => {});
  }

  /** The place of a passage, which opens it, and what puts a link to it into the note. */
  function links(cited: Citation, open: () => void): HTMLElement {
    const insert = host.insert && button("Link", () => host.insert?.(cited), { title: "Put a link into the note" });
    return make("div", { class: "coho-row" }, button(place(cited), open, { class: "coho-link" }), insert);
  }

  function cite(id: string, citation: Citation): HTMLLIElement {
    const row = links(citation, () => follow(id, citation));
    return make("li", { value: String(citation.n) }, row, make("blockquote", {}, citation.text));
  }

  async function ask(text: string): Promise<void> {
    show("ask");
    running?.abort();
    const mine = new AbortController();
    running = mine;
    question.input.value = text;
    say("");
    stop.hidden = false;
    // Read aloud when it is whole.
    answer.setAttribute("aria-busy", "true");
    // The answer that is there is no answer to this question: nobody judges it meanwhile.
    after.hidden = true;
    let begun = false;
    try {
      await host.ask(
        text,
        (name, value) => {
          if (running !== mine) return;
          // Where nobody answers, the last answer stays.
          if (!begun) {
            for (const old of [answer, citations, after]) old.replaceChildren();
            unsupported.hidden = true;
            asked.textContent = text;
            asked.hidden = false;
          }
          begun = true;
          if (name === "token") answer.append(value.text);
          if (name === "done") finished(value);
        },
        mine.signal,
      );
    } finally {
      if (running === mine) {
        // The button that was pressed goes.
        if (document.activeElement === stop) question.input.focus();
        stop.hidden = true;
        answer.setAttribute("aria-busy", "false");
        after.hidden = false;
      }
    }
  }

  function finished(whole: { id: string; answer: string; citations: Citation[]; claims: Claim[] }) {
    // Marks lead to their passages.
    answer.replaceChildren(
      ...pieces(whole.answer).map((piece): Node => {
        const n = /^\[(\d+)\]$/.exec(piece)?.[1];
        const citation = whole.citations.find((c) => String(c.n) === n);
        if (!citation) return document.createTextNode(piece);
        // A mark alone says nothing of where it leads.
        return button(piece, () => follow(whole.id, citation), { class: "coho-link", title: place(citation) });
      }),
    );
    citations.replaceChildren(...whole.citations.map((citation) => cite(whole.id, citation)));
    unsupported.textContent = doubt(whole.claims);
    unsupported.hidden = !unsupported.textContent;
    const judge = (verdict: string) => async () => {
      try {
        await host.call("POST", `/v1/answers/${whole.id}/feedback`, { verdict });
        say(`noted: ${verdict}`);
      } catch (error) {
        failed(error);
      }
    };
    after.replaceChildren(button("Good", judge("good")), button("Bad", judge("bad")));
  }

  // Search and related.
  const hits = make("ol", { class: "coho-list" });
  const searching = form("Search your notes", search);
  views.get("search")?.append(searching.made, hits);
  const near = make("ol", { class: "coho-list" });
  views.get("related")?.append(make("p", { class: "coho-soft" }, "What other notes say about where you are."), near);

  function hit(found: Citation): HTMLLIElement {
    const about = [found.title, found.heading].filter(Boolean).join(" > ");
    return make(
      "li",
      {},
      links(found, () => visit(found)),
      make("div", { class: "coho-soft" }, about),
      make("div", {}, found.text.replace(/\s+/g, " ").slice(0, 300)),
    );
  }

  let searched = 0;

  async function search(query: string): Promise<void> {
    searched += 1;
    const mine = searched;
    show("search");
    searching.input.value = query;
    say("");
    const newest = () => mine === searched;
    const found = await host.call("POST", "/v1/search", { query }).catch((error) => {
      if (newest()) throw error;
    });
    if (!newest()) return;
    hits.replaceChildren(...found.hits.map(hit));
    // Who does not see the list hears that it is there; who has gone to another view does not care.
    if (views.get("search")?.hidden) return;
    say(found.hits.length ? `${found.hits.length} found` : "nothing was found");
  }

  let lookedFor = 0;
  let wanted: [text: string, path: string] | undefined;
  // It follows the cursor: nothing is looked for, nor told, before somebody looks.
  const seen = () => !views.get("related")?.hidden;

  async function related(text: string, path: string): Promise<void> {
    wanted = [text, path];
    if (seen()) await lookNear();
  }

  async function lookNear(): Promise<void> {
    if (!wanted) return;
    const [text, path] = wanted;
    wanted = undefined;
    lookedFor += 1;
    const mine = lookedFor;
    if (!text.trim()) {
      near.replaceChildren();
      return;
    }
    try {
      // Words alone: none is to be read as a filter.
      const found = await host.call("POST", "/v1/search", { query: text.slice(0, MOST_LETTERS), literal: true, k: 12 });
      // The cursor may have gone on meanwhile.
      if (mine !== lookedFor) return;
      const others = found.hits.filter((one: Citation) => one.path !== path);
      near.replaceChildren(...others.map(hit));
      if (seen()) say("");
    } catch (error) {
      if (mine !== lookedFor) return;
      wanted ??= [text, path];
      if (seen()) failed(error);
    }
  }

  // What was learned, and the owner's word about it.
  const queue = make("div", { tabindex: "-1" });
  const more = make("p", { class: "coho-soft" });
  views.get("learned")?.append(button("Look again", () => units().catch(failed)), queue, more);

  let listings = 0;

  async function units(): Promise<void> {
    listings += 1;
    const mine = listings;
    say("");
    const list = (state: string) => host.call("GET", `/v1/units?state=${state}&limit=1000`);
    const waiting = (await Promise.all(["contested", "shadow"].map(list))).flatMap((listed) => listed.units);
    // One may be gone by now.
    const cards = await Promise.allSettled(waiting.slice(0, MOST_UNITS).map(unit));
    // A listing that is older may show what was decided since.
    if (mine !== listings) return;
    const made = cards.flatMap((card) => (card.status === "fulfilled" ? [card.value] : []));
    queue.replaceChildren(...(made.length ? made : ["Nothing waits for you."]));
    more.textContent = waiting.length > MOST_UNITS ? `and ${waiting.length - MOST_UNITS} more` : "";
  }

  async function unit(one: { id: string; title: string; text: string; questions: string[] }): Promise<HTMLElement> {
    const story = await host.call("GET", `/v1/units/${one.id}`);
    const decide = (action: string) => async () => {
      try {
        await host.call("PATCH", `/v1/units/${one.id}`, { decision: action });
        // The button that was pressed goes with its card.
        ((card.nextElementSibling ?? queue) as HTMLElement).focus();
        card.remove();
        if (!queue.childElementCount) await units();
        say(`${action === "approve" ? "approved" : "rejected"}: ${one.title}`);
      } catch (error) {
        failed(error);
      }
    };
    const evidence = story.evidence.map((stand: Stand) => {
      // Whoever decides knows that it stands there no more.
      const where = place(stand) + (stand.text === null ? " (gone)" : "");
      const { file } = stand;
      const look = () => file && host.open(file, stand.lines?.[0] ?? 1, stand.page);
      const at = file ? button(where, look, { class: "coho-link" }) : make("span", { class: "coho-soft" }, where);
      return make("li", {}, at, make("blockquote", {}, stand.sentences.join(" ")));
    });
    const card: HTMLElement = make(
      "article",
      { class: "coho-unit", tabindex: "-1" },
      make("strong", {}, one.title),
      make("p", {}, one.text),
      make("p", { class: "coho-soft" }, one.questions.join(" · ")),
      make("ol", { class: "coho-list" }, ...evidence),
      make("div", { class: "coho-row" }, button("Approve", decide("approve")), button("Reject", decide("reject"))),
    );
    return card;
  }

  // Who calls a view types into it; a panel that is only built takes nobody's keys.
  const called = (view: View) => {
    show(view);
    views.get(view)?.querySelector("textarea")?.focus();
  };

  show("ask");
  return { ask: (text) => ask(text).catch(failed), search: (text) => search(text).catch(failed), related, show: called, stop: halt };
}
