// The extension: speaks to the service for the panel, opens files, says how coho is.

import * as vscode from "vscode";

import * as client from "../../typescript/src/client.ts";

/** Time between two looks at the service. */
const LOOK_MS = 30_000;

/** Quiet time before what is related is looked for. */
const QUIET_MS = 600;

/** Quiet time before what is typed is searched for. */
const TYPING_MS = 150;

let secrets: vscode.SecretStorage;

async function options(): Promise<client.Options> {
  const set = vscode.workspace.getConfiguration("coho");
  return {
    home: set.get<string>("home") || undefined,
    address: set.get<string>("address") || undefined,
    token: (await secrets.get("token")) || undefined,
  };
}

/** What the owner set, and nothing else: the rest is coho's to know. */
function chosen(pairs: Record<string, string>): Record<string, unknown> {
  const set = vscode.workspace.getConfiguration("coho");
  const found = Object.entries(pairs).map(([key, name]) => [key, set.get(name)] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== null && value !== undefined));
}

async function open(told: string, line: number): Promise<void> {
  const file = vscode.Uri.file(client.onDisk(told));
  try {
    const document = await vscode.workspace.openTextDocument(file);
    const at = new vscode.Position(Math.max(0, Math.min(line, document.lineCount) - 1), 0);
    // Beside what is being written: an unsaved file stays as it is.
    const editor = await vscode.window.showTextDocument(document, { preview: true, selection: new vscode.Range(at, at) });
    editor.revealRange(new vscode.Range(at, at), vscode.TextEditorRevealType.InCenter);
  } catch {
    try {
      await vscode.workspace.fs.stat(file);
      await vscode.commands.executeCommand("vscode.open", file);
    } catch {
      // A name such as [x](command:y) would be a link there.
      void vscode.window.showErrorMessage(`coho: ${told.replaceAll("](", "] (")} is not there any more: search for what it said`);
    }
  }
}

class PanelView implements vscode.WebviewViewProvider {
  private view: vscode.WebviewView | undefined;
  /** Does its page listen yet? */
  private ready = false;
  private readonly running = new Map<number, AbortController>();
  private queued: object[] = [];

  constructor(private readonly folder: vscode.Uri) {}

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    this.ready = false;
    const dist = vscode.Uri.joinPath(this.folder, "dist");
    view.webview.options = { enableScripts: true, localResourceRoots: [dist] };
    const at = (name: string) => view.webview.asWebviewUri(vscode.Uri.joinPath(dist, name));
    const source = view.webview.cspSource;
    // No connection: what the panel wants comes by messages.
    view.webview.html = `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${source}; script-src ${source}">
<link rel="stylesheet" href="${at("panel.css")}"></head>
<body><main id="panel"></main><script src="${at("view.js")}"></script></body></html>`;
    view.webview.onDidReceiveMessage((said) => this.heard(said));
    view.onDidDispose(() => {
      this.view = undefined;
      this.ready = false;
      for (const one of this.running.values()) one.abort();
    });
  }

  /** Has the panel do something; it is shown first. */
  async tell(message: object): Promise<void> {
    if (!this.view || !this.ready) {
      this.queued.push(message);
      await vscode.commands.executeCommand("coho.panel.focus");
      return;
    }
    this.view.show(true);
    await this.view.webview.postMessage({ kind: "do", ...message });
  }

  /** As `tell`, for those who look. */
  whisper(message: object): void {
    if (this.view?.visible) void this.view.webview.postMessage({ kind: "do", ...message });
  }

  private async heard(said: any): Promise<void> {
    const post = (message: object) => this.view?.webview.postMessage(message);
    if (said.kind === "ready") {
      this.ready = true;
      for (const message of this.queued.splice(0)) void post({ kind: "do", ...message });
    } else if (said.kind === "open") {
      await open(said.path, said.line);
    } else if (said.kind === "stop") {
      this.running.get(said.id)?.abort();
    } else if (said.kind === "call" || said.kind === "ask") {
      const stop = new AbortController();
      this.running.set(said.id, stop);
      try {
        let value;
        if (said.kind === "call") {
          const body = said.route === "/v1/search" && said.body.k === undefined ? { ...said.body, ...chosen({ k: "search.k" }) } : said.body;
          value = await client.call(await options(), said.method, said.route, body, stop.signal);
        } else {
          const body = { question: said.question, ...chosen({ strategy: "answer.strategy", k: "answer.k" }) };
          const heard = (name: string, value: unknown) => void post({ id: said.id, kind: "event", name, value });
          await client.ask(await options(), body, heard, stop.signal);
        }
        void post({ id: said.id, kind: "done", value });
      } catch (error) {
        const stopped = (error as Error).name === "AbortError";
        void post({ id: said.id, kind: "failed", message: (error as Error).message, stopped });
      } finally {
        this.running.delete(said.id);
      }
    }
  }
}

/** Text in which `$(pwd)` is no icon, which VS Code would show instead. */
function withoutIcons(text: string): string {
  return text.replace(/\$\([a-z0-9-]+(~[a-z]+)?\)/gi, "\\$&");
}

async function search(): Promise<void> {
  const pick = vscode.window.createQuickPick<vscode.QuickPickItem & { path?: string; line?: number }>();
  pick.placeholder = "Search your notes";
  pick.matchOnDescription = true;
  let asked = 0;
  let stop = new AbortController();
  pick.onDidChangeValue(async (query) => {
    const mine = ++asked;
    stop.abort();
    stop = new AbortController();
    if (!query.trim()) {
      pick.items = [];
      pick.busy = false;
      return;
    }
    pick.busy = true;
    await new Promise((quiet) => setTimeout(quiet, TYPING_MS));
    if (mine !== asked) return;
    try {
      const body = { query, ...chosen({ k: "search.k" }) };
      const found = await client.call(await options(), "POST", "/v1/search", body, stop.signal);
      if (mine !== asked) return;
      pick.items = found.hits.map((hit: any) => ({
        label: withoutIcons(hit.title),
        description: withoutIcons(`${hit.path.split(/[\\/]/).pop()}${hit.lines ? `:${hit.lines[0]}` : ""}`),
        detail: withoutIcons(hit.text.replace(/\s+/g, " ").slice(0, 200)),
        alwaysShow: true,
        path: hit.path,
        line: hit.lines?.[0] ?? 1,
      }));
    } catch (error) {
      if (mine === asked) pick.items = [{ label: (error as Error).message, alwaysShow: true }];
    } finally {
      if (mine === asked) pick.busy = false;
    }
  });
  pick.onDidAccept(() => {
    const [chosen] = pick.selectedItems;
    if (chosen?.path) void open(chosen.path, chosen.line ?? 1);
    pick.hide();
  });
  pick.onDidHide(() => {
    asked += 1;
    stop.abort();
    pick.dispose();
  });
  pick.show();
}

/** The paragraph under the cursor, saved or not. */
function here(editor: vscode.TextEditor): string {
  const document = editor.document;
  let [first, last] = [editor.selection.active.line, editor.selection.active.line];
  const empty = (line: number) => document.lineAt(line).isEmptyOrWhitespace;
  while (first > 0 && last - first < 40 && !empty(first - 1)) first -= 1;
  while (last + 1 < document.lineCount && last - first < 40 && !empty(last + 1)) last += 1;
  return document.getText(new vscode.Range(first, 0, last, document.lineAt(last).text.length));
}

export function activate(context: vscode.ExtensionContext): void {
  secrets = context.secrets;
  const panel = new PanelView(context.extensionUri);
  const item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right, 50);
  item.command = "coho.ask";
  item.name = "coho";
  item.show();
  const look = async () => {
    try {
      const status = await client.call(await options(), "GET", "/v1/status");
      const wrong = client.mismatch(status);
      item.text = wrong ? "$(warning) coho" : "$(beaker) coho";
      item.tooltip = wrong ?? `${status.documents} documents, ${status.units.active} units in use`;
    } catch (error) {
      // A token that may only ask is told nothing of the whole.
      const runs = error instanceof client.Unavailable && error.status === 403;
      item.text = runs ? "$(beaker) coho" : "$(circle-slash) coho";
      item.tooltip = (error as Error).message;
    }
  };
  void look();
  const looking = setInterval(() => void look(), LOOK_MS);
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const related = () => {
    const editor = vscode.window.activeTextEditor;
    return editor && { what: "related", text: here(editor), path: client.real(editor.document.uri.fsPath) };
  };
  const follow = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      const message = related();
      if (message) panel.whisper(message);
    }, QUIET_MS);
  };
  const command = (name: string, run: () => unknown) => vscode.commands.registerCommand(name, run);
  context.subscriptions.push(
    item,
    { dispose: () => clearInterval(looking) },
    { dispose: () => clearTimeout(quiet) },
    vscode.workspace.onDidChangeConfiguration((change) => change.affectsConfiguration("coho") && look()),
    vscode.window.registerWebviewViewProvider("coho.panel", panel, { webviewOptions: { retainContextWhenHidden: true } }),
    vscode.window.onDidChangeTextEditorSelection(follow),
    vscode.window.onDidChangeActiveTextEditor(follow),
    command("coho.ask", async () => {
      const text = await vscode.window.showInputBox({ prompt: "Ask your notes" });
      if (text?.trim()) await panel.tell({ what: "ask", text });
    }),
    command("coho.askSelection", async () => {
      const editor = vscode.window.activeTextEditor;
      const text = editor?.document.getText(editor.selection).trim();
      if (text) await panel.tell({ what: "ask", text });
      else void vscode.window.showInformationMessage("coho: select first what to ask");
    }),
    command("coho.search", search),
    command("coho.setToken", async () => {
      const prompt = "Token to send instead of the data folder's; nothing for that one";
      const token = await vscode.window.showInputBox({ prompt, password: true, ignoreFocusOut: true });
      if (token === undefined) return;
      await (token.trim() ? secrets.store("token", token.trim()) : secrets.delete("token"));
      await look();
    }),
    command("coho.related", async () => {
      const message = related();
      await panel.tell({ what: "show", view: "related" });
      if (message) await panel.tell(message);
    }),
  );
}

export function deactivate(): void {}
