// The running service: where it is, what it wants to see, and requests to it.
//
// Node's own HTTP, because a page's `fetch` says where it comes from, and the service refuses pages
// of others. Nothing but the address that coho announced, or that the owner set, is ever spoken to.

import * as fs from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as os from "node:os";
import * as path from "node:path";

/** What the owner may set; all is found as coho itself finds it. */
export interface Options {
  home?: string;
  address?: string;
  token?: string;
}

/** What to do, in words for the owner. */
export class Unavailable extends Error {
  /** `status` is that of an answer which says it; nothing where nobody answered. */
  constructor(message: string, readonly status?: number) {
    super(message);
  }
}

/** The version of the API that this speaks. */
const NEEDS = "0.1";

/** More than any question, less than the service takes. */
const MOST_BYTES = 512 * 1024;

/**
 * After so long without a byte, a service that hangs is given up. A stream is never quiet for longer
 * than 15 seconds while somebody writes to it.
 */
export const quiet = { ms: 60_000 };

export function home(options: Options): string {
  const set = options.home?.replace(/^~(?=$|[\\/])/, os.homedir()) || process.env.COHO_HOME;
  if (set) return set;
  if (process.platform === "darwin") return path.join(os.homedir(), "Library/Application Support/coho");
  if (process.platform === "win32") return path.join(process.env.APPDATA || os.homedir(), "coho", "data");
  const data = process.env.XDG_DATA_HOME;
  return path.join(data && path.isAbsolute(data) ? data : path.join(os.homedir(), ".local/share"), "coho");
}

/** What `read` finds; nothing where there is nothing to be read. */
function found<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A path as coho names it, without links, where it is there. */
export function real(file: string): string {
  return found(() => fs.realpathSync(file)) ?? file;
}

/**
 * The name on disk of what is told as `new\x0Aline.md`. Node makes no name of bytes that are no text: of
 * `gar\xE7on.md` it is the one that is told.
 */
export function onDisk(told: string): string {
  const read = (codes: string) => Buffer.from(codes.replaceAll("\\x", ""), "hex").toString();
  const named = told.replace(/(\\x[0-9a-f]{2})+/gi, read);
  return !fs.existsSync(told) && fs.existsSync(named) ? named : told;
}

/**
 * Is the process that announced itself alive, and a coho? Of one that was killed the announcement
 * stays: whoever listens at its address is not to be told the token.
 */
function isOurs(pid: unknown): boolean {
  if (typeof pid !== "number" || !(pid > 0)) return false;
  try {
    // Somebody else's process is refused to us, too.
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // On Linux: what runs, as another process may have its number by now, and whether it is only
  // waiting to be buried.
  const stat = found(() => /\((.*)\) (\S)/s.exec(fs.readFileSync(`/proc/${pid}/stat`, "utf8")));
  if (!stat) return true;
  const [, name = "", state = ""] = stat;
  const program = found(() => path.basename(fs.readlinkSync(`/proc/${pid}/exe`))) ?? "";
  return !"ZXx".includes(state) && [name, program].some((one) => one.includes("coho"));
}

/** Is this address surely one of this machine? */
function isHere(address: string): boolean {
  try {
    const { hostname } = new URL(/^https?:\/\//.test(address) ? address : "http://" + address);
    return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  } catch {
    return false;
  }
}

function find(options: Options): { address: string; token: string } {
  const folder = home(options);
  let address = options.address;
  if (!address) {
    try {
      const announced = JSON.parse(fs.readFileSync(path.join(folder, "service.json"), "utf8"));
      if (!announced.address || !isOurs(announced.pid)) throw new Error("it is gone");
      address = announced.address as string;
    } catch {
      throw new Unavailable(`no coho is running on ${folder}: start \`coho serve\``);
    }
  }
  let token = options.token;
  // The one of the data folder is for this machine.
  if (!token && options.address && !isHere(options.address))
    throw new Unavailable(`${options.address} is another machine: set the token that \`coho token add\` made there`);
  if (!token) {
    try {
      token = fs.readFileSync(path.join(folder, "token"), "utf8").trim();
    } catch {
      throw new Unavailable(`there is no token in ${folder}: is that the data folder of \`coho status\`?`);
    }
  }
  if (!/^https?:\/\//.test(address)) address = "http://" + address;
  return { address: address.replace(/\/+$/, ""), token };
}

function broken(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  return new Unavailable(`the connection to coho broke off (${(error as Error).message}): try again`);
}

function saidBy(text: string, status: number): string {
  try {
    const problem = JSON.parse(text);
    if (problem.code === "no_such_route") return `this coho is too old: a version ${NEEDS} or later is needed`;
    if (status === 401) return `${problem.detail || "the token is wrong"}: is another coho running there?`;
    if (problem.detail) return [problem.detail, problem.hint].filter(Boolean).join(": ");
  } catch {
    // No problem of ours.
  }
  return `coho answered with status ${status}`;
}

function send(
  options: Options,
  [method, route, body]: [string, string, unknown?],
  signal?: AbortSignal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const service = find(options);
    // Half a pair of UTF-16, as a passage that was cut may end with, is told as U+FFFD: JSON has none.
    const clean = (_: string, value: unknown) => (typeof value === "string" ? Buffer.from(value).toString() : value);
    const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body, clean));
    if (sent && sent.length > MOST_BYTES) {
      throw new Unavailable(`that is too much for one question (${Math.round(sent.length / 1024)} KiB): select less`);
    }
    const url = new URL(service.address + route);
    const headers: http.OutgoingHttpHeaders = { authorization: `Bearer ${service.token}` };
    if (sent) {
      headers["content-type"] = "application/json";
      headers["content-length"] = sent.length;
    }
    const via = url.protocol === "https:" ? https : http;
    let answer: http.IncomingMessage | undefined;
    const request = via.request(url, { method, headers, timeout: quiet.ms }, (response) => {
      answer = response;
      resolve(response);
    });
    request.on("timeout", () => {
      const hangs = `coho at ${service.address} hangs, or cannot be reached: try again, or start \`coho serve\` anew`;
      (answer ?? request).destroy(new Unavailable(hangs));
    });
    // As an option it would stay with the connection, where nobody hears of it once all has come.
    const stop = () => {
      request.destroy();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", stop);
    request.on("close", () => signal?.removeEventListener("abort", stop));
    if (signal?.aborted) stop();
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") {
        reject(new Unavailable(`coho does not answer at ${service.address}: start \`coho serve\``));
      } else reject(broken(error));
    });
    request.end(sent);
  });
}

async function whole(response: http.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of response) pieces.push(piece as Buffer);
  } catch (error) {
    throw broken(error);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** As `send`, where the service does what it was asked for. */
async function taken(...request: Parameters<typeof send>): Promise<http.IncomingMessage> {
  const response = await send(...request);
  const status = response.statusCode ?? 500;
  if (status >= 400) throw new Unavailable(saidBy(await whole(response), status), status);
  return response;
}

/** One request; what the service says, parsed. */
export async function call(
  options: Options,
  method: string,
  route: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<any> {
  let text = "";
  try {
    text = await whole(await taken(options, [method, route, body], signal));
  } catch (error) {
    // Who stopped it broke it off.
    signal?.throwIfAborted();
    throw error;
  }
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    throw new Unavailable("what answered is no coho: is the address right?");
  }
}

/** Asks; `heard` is told of each event as it comes. Ends when the answer is whole. */
export async function ask(
  options: Options,
  body: object,
  heard: (name: string, value: any) => void,
  signal?: AbortSignal,
): Promise<void> {
  const response = await taken(options, ["POST", "/v1/ask", { ...body, stream: true }], signal);
  const decoder = new TextDecoder();
  let rest = "";
  let ended = false;
  try {
    for await (const piece of response) {
      rest += decoder.decode(piece as Buffer, { stream: true });
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        const lines = rest.slice(0, end).split("\n");
        rest = rest.slice(end + 2);
        const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
        const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
        if (!data.length) continue;
        const value = JSON.parse(data.join("\n"));
        if (name === "error") throw new Unavailable(value.detail || "the answer failed");
        ended ||= name === "done";
        heard(name, value);
      }
    }
  } catch (error) {
    if (error instanceof Unavailable || (error as Error).name === "AbortError") throw error;
  }
  if (!ended && !signal?.aborted) throw new Unavailable("the answer broke off: ask again");
}

/** Why a service of this status cannot be used; nothing where it can. */
export function mismatch(status: { version: unknown }): string | undefined {
  const version = String(status.version);
  return version.startsWith(NEEDS + ".") ? undefined : `this was made for coho ${NEEDS}, and ${version} is running`;
}
