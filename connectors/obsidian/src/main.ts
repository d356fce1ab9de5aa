// The plugin: the panel as a view at the side, links to citations as wikilinks, what is related to
// the note that is open. It speaks to the coho on this machine and to nothing else.

import { FileSystemAdapter, ItemView, MarkdownView, Notice, Plugin, PluginSettingTab, Setting, TFile, normalizePath, type App, type WorkspaceLeaf } from "obsidian";
import * as path from "node:path";

import * as client from "../../typescript/src/client.ts";
import { mount, type Citation, type Host, type Panel } from "../../typescript/src/panel.ts";

const VIEW = "coho-panel";

/** Quiet time before what is related is looked for. */
const QUIET_MS = 600;

interface Set {
  home: string;
  address: string;
  token: string;
}

/** The end of a link that leads to a page; nothing where the file has none. */
function pageOf(file: TFile, page: number | null | undefined): string {
  return page && /\.pdf$/i.test(file.path) ? `#page=${page}` : "";
}

class PanelView extends ItemView {
  panel: Panel | undefined;

  constructor(leaf: WorkspaceLeaf, private readonly plugin: CohoPlugin) {
    super(leaf);
  }

  getViewType(): string {
    return VIEW;
  }

  getDisplayText(): string {
    return "coho";
  }

  getIcon(): string {
    return "flask-conical";
  }

  async onOpen(): Promise<void> {
    this.panel = mount(this.contentEl, this.plugin.host());
  }

  async onClose(): Promise<void> {
    // Nobody would see the answer that is being written.
    this.panel?.stop();
    this.contentEl.empty();
  }
}

export default class CohoPlugin extends Plugin {
  set: Set = { home: "", address: "", token: "" };

  async onload(): Promise<void> {
    this.set = { ...this.set, ...(await this.loadData()) };
    this.registerView(VIEW, (leaf) => new PanelView(leaf, this));
    const ask = () => void this.shown().then((p) => p?.show("ask"));
    this.addRibbonIcon("flask-conical", "Ask your notes", ask);
    this.addCommand({ id: "ask", name: "Ask your notes", callback: ask });
    this.addCommand({
      id: "ask-selection",
      name: "Ask about the selection",
      editorCallback: (editor) => {
        const text = editor.getSelection().trim();
        if (text) void this.shown().then((panel) => panel?.ask(text));
        else new Notice("coho: select first what to ask");
      },
    });
    this.addCommand({ id: "search", name: "Search your notes", callback: () => void this.shown().then((p) => p?.show("search")) });
    this.addCommand({ id: "related", name: "Show related notes", callback: () => void this.shown().then((p) => (p?.show("related"), this.related())) });
    this.addCommand({ id: "review", name: "Review what was learned", callback: () => void this.shown().then((p) => p?.show("learned")) });
    this.addSettingTab(new CohoSettings(this.app, this));
    let quiet: number | undefined;
    const soon = () => {
      window.clearTimeout(quiet);
      quiet = window.setTimeout(() => this.related(), QUIET_MS);
    };
    this.registerEvent(this.app.workspace.on("file-open", soon));
    this.registerEvent(this.app.workspace.on("editor-change", soon));
    this.register(() => window.clearTimeout(quiet));
  }

  host(): Host {
    const options = () => {
      const { home, address, token } = this.set;
      return { home: home || undefined, address: address || undefined, token: token || undefined };
    };
    return {
      call: (method, route, body) => client.call(options(), method, route, body),
      ask: (question, heard, signal) => client.ask(options(), { question }, heard, signal),
      open: (file, line, page) => void this.open(file, line, page),
      insert: (citation) => this.insert(citation),
    };
  }

  /** A path of the file system, as the vault knows it; nothing where it lies outside. */
  private inVault(file: string): TFile | undefined {
    const adapter = this.app.vault.adapter;
    if (!(adapter instanceof FileSystemAdapter)) return undefined;
    const below = path.relative(client.real(adapter.getBasePath()), client.onDisk(file));
    if (below.startsWith("..") || path.isAbsolute(below)) return undefined;
    const found = this.app.vault.getAbstractFileByPath(normalizePath(below));
    return found instanceof TFile ? found : undefined;
  }

  private async open(file: string, line: number, page?: number | null): Promise<void> {
    const note = this.inVault(file);
    if (!note) {
      new Notice(`coho: ${file} is not in this vault, or not there any more`);
      return;
    }
    const subpath = pageOf(note, page);
    await this.app.workspace.getLeaf(false).openFile(note, { eState: subpath ? { subpath } : { line: line - 1 } });
  }

  /** Puts a wikilink where the cursor is, in the note that was open last. */
  private insert(citation: Citation): void {
    const note = this.inVault(citation.path);
    const leaf = this.app.workspace.getMostRecentLeaf();
    const view = leaf?.view instanceof MarkdownView ? leaf.view : undefined;
    if (!note || !view) {
      new Notice(note ? "coho: open a note to put the link into" : "coho: that is not in this vault");
      return;
    }
    const heading = this.heading(note, citation)?.replace(/[[\]|#^]/g, " ").trim();
    const from = view.file?.path ?? "";
    const named = heading && heading !== note.basename && heading !== citation.title ? `#${heading}` : "";
    const subpath = pageOf(note, citation.page) || named;
    // What is selected stays: it may be what was asked about.
    const link = this.app.fileManager.generateMarkdownLink(note, from, subpath);
    view.editor.replaceRange(link, view.editor.getCursor("to"));
  }

  /** The heading that a citation stands under, of those that are told as "One > Two". */
  private heading(note: TFile, citation: Citation): string | undefined {
    const told = citation.heading;
    if (!told) return undefined;
    // A heading may hold " > " itself: the note says which it has.
    const known = (this.app.metadataCache.getFileCache(note)?.headings ?? []).map((one) => one.heading.trim());
    const matching = known.filter((one) => one && (told === one || told.endsWith(` > ${one}`)));
    return matching.sort((a, b) => b.length - a.length)[0] ?? told.split(" > ").pop();
  }

  private async shown(): Promise<Panel | undefined> {
    let [leaf] = this.app.workspace.getLeavesOfType(VIEW);
    if (!leaf) {
      const made = this.app.workspace.getRightLeaf(false);
      await made?.setViewState({ type: VIEW, active: true });
      [leaf] = this.app.workspace.getLeavesOfType(VIEW);
    }
    if (!leaf) return undefined;
    await this.app.workspace.revealLeaf(leaf);
    return leaf.view instanceof PanelView ? leaf.view.panel : undefined;
  }

  /** Looks for what other notes say about the paragraph at the cursor, if somebody looks. */
  private related(): void {
    const [leaf] = this.app.workspace.getLeavesOfType(VIEW);
    // By command the panel itself is in front: what counts is the note that was open last.
    const latest = this.app.workspace.getMostRecentLeaf()?.view;
    const view = this.app.workspace.getActiveViewOfType(MarkdownView) ?? (latest instanceof MarkdownView ? latest : undefined);
    const panel = leaf?.view instanceof PanelView ? leaf.view.panel : undefined;
    const adapter = this.app.vault.adapter;
    if (!panel || !leaf?.view.containerEl.isShown() || !view?.file || !(adapter instanceof FileSystemAdapter)) return;
    const lines = view.editor.getValue().split("\n");
    let [first, last] = [view.editor.getCursor().line, view.editor.getCursor().line];
    while (first > 0 && last - first < 40 && lines[first - 1]?.trim()) first -= 1;
    while (last + 1 < lines.length && last - first < 40 && lines[last + 1]?.trim()) last += 1;
    const text = lines.slice(first, last + 1).join("\n");
    void panel.related(text, client.real(adapter.getFullPath(view.file.path)));
  }
}

class CohoSettings extends PluginSettingTab {
  constructor(app: App, private readonly plugin: CohoPlugin) {
    super(app, plugin);
  }

  display(): void {
    this.containerEl.empty();
    const field = (key: keyof Set, name: string, about: string) =>
      new Setting(this.containerEl).setName(name).setDesc(about).addText((text) => {
        if (key === "token") text.inputEl.type = "password";
        text.setValue(this.plugin.set[key]).onChange(async (value) => {
          this.plugin.set[key] = value.trim();
          await this.plugin.saveData(this.plugin.set);
        });
      });
    field("home", "Data folder", "coho's data folder; found as coho finds it where nothing is set.");
    field("address", "Address", "Address of another service than that of the data folder.");
    field("token", "Token", "Token for that address, kept with the settings; one of another machine needs it.");
  }
}
