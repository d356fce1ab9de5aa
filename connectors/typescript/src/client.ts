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
export class Unavailable extends Error {}

/** The version of the API that this speaks. */
const NEEDS = "0.1";

/** More than any question, less than the service takes. */
const MOST_BYTES = 512 * 1024;

export function home(options: Options): string {
  const set = options.home || process.env.COHO_HOME;
  if (set) return set;
  if (process.platform === "darwin") return path.join(os.homedir(), "Library/Application Support/coho");
  if (process.platform === "win32") return path.join(process.env.APPDATA || os.homedir(), "coho", "data");
  return path.join(process.env.XDG_DATA_HOME || path.join(os.homedir(), ".local/share"), "coho");
}

function find(options: Options): { address: string; token: string } {
  const folder = home(options);
  let address = options.address;
  if (!address) {
    try {
      address = "http://" + JSON.parse(fs.readFileSync(path.join(folder, "service.json"), "utf8")).address;
    } catch {
      throw new Unavailable(`no coho is running on ${folder}: start \`coho serve\``);
    }
  }
  let token = options.token;
  if (!token) {
    try {
      token = fs.readFileSync(path.join(folder, "token"), "utf8").trim();
    } catch {
      throw new Unavailable(`there is no token in ${folder}: is that the data folder of \`coho status\`?`);
    }
  }
  return { address: address.replace(/\/+$/, ""), token };
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
  signal: AbortSignal | undefined,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const service = find(options);
    const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
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
    const request = via.request(url, { method, headers, signal }, resolve);
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (error.name === "AbortError") reject(error);
      else if (error.code === "ECONNREFUSED") {
        reject(new Unavailable(`coho does not answer at ${service.address}: start \`coho serve\``));
      } else reject(new Unavailable(`the connection to coho broke off (${error.message}): try again`));
    });
    request.end(sent);
  });
}

async function whole(response: http.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("utf8");
}

/** One request; what the service says, parsed. */
export async function call(options: Options, method: string, route: string, body?: unknown): Promise<any> {
  const response = await send(options, [method, route, body], undefined);
  const text = await whole(response);
  if ((response.statusCode ?? 500) >= 400) throw new Unavailable(saidBy(text, response.statusCode ?? 500));
  return text ? JSON.parse(text) : undefined;
}

/** Asks; `heard` is told of each event as it comes. Ends when the answer is whole. */
export async function ask(
  options: Options,
  body: object,
  heard: (name: string, value: any) => void,
  signal?: AbortSignal,
): Promise<void> {
  const response = await send(options, ["POST", "/v1/ask", { ...body, stream: true }], signal);
  if ((response.statusCode ?? 500) >= 400) {
    throw new Unavailable(saidBy(await whole(response), response.statusCode ?? 500));
  }
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

/** Why this service cannot be used; nothing where it can. */
export async function mismatch(options: Options): Promise<string | undefined> {
  const status = await call(options, "GET", "/v1/status");
  const version = String(status.version);
  return version.startsWith(NEEDS + ".") ? undefined : `this was made for coho ${NEEDS}, and ${version} is running`;
}
