// The panel inside VS Code: everything that it wants it asks of the extension, by messages.

import { mount, type Host } from "../../typescript/src/panel.ts";

declare function acquireVsCodeApi(): { postMessage(message: unknown): void };

const editor = acquireVsCodeApi();
const waiting = new Map<number, { done(value: any): void; failed(error: Error): void; heard?(name: string, value: any): void }>();
// No number that a page before this one gave: what that asked may be answered yet.
let last = Date.now();

function send(kind: string, content: object, signal?: AbortSignal, heard?: (name: string, value: any) => void): Promise<any> {
  const id = ++last;
  signal?.addEventListener("abort", () => editor.postMessage({ id, kind: "stop" }));
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed, heard });
    editor.postMessage({ id, kind, ...content });
  });
}

const host: Host = {
  call: (method, route, body) => send("call", { method, route, body }),
  ask: (question, heard, signal) => send("ask", { question }, signal, heard),
  open: (path, line) => editor.postMessage({ kind: "open", path, line }),
};

const root = document.getElementById("panel");
if (!root) throw new Error("the page has no place for the panel");
const panel = mount(root, host);

window.addEventListener("message", (event) => {
  const said = event.data;
  if (said.kind === "do") {
    if (said.what === "ask") void panel.ask(said.text);
    else if (said.what === "related") void panel.related(said.text, said.path);
    else if (said.what === "show") panel.show(said.view);
    return;
  }
  const one = waiting.get(said.id);
  if (!one) return;
  if (said.kind === "event") {
    one.heard?.(said.name, said.value);
    return;
  }
  waiting.delete(said.id);
  if (said.kind === "failed") {
    const error = new Error(said.message);
    if (said.stopped) error.name = "AbortError";
    one.failed(error);
  } else one.done(said.value);
});
editor.postMessage({ kind: "ready" });
