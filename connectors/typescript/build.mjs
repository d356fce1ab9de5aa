// Bundles both connectors; settings of VS Code are made of coho's own schema.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const schema = JSON.parse(readFileSync(new URL("../../schemas/config.schema.json", import.meta.url)));
const manifest = new URL("../vscode/package.json", import.meta.url);

/** A setting as coho describes it, for VS Code: none is sent unless the owner sets it. */
function setting(section, key) {
  const resolve = (node) => (node.$ref ? schema.$defs[node.$ref.split("/").pop()] : node);
  const found = resolve(schema.properties[section]).properties[key];
  const node = { ...resolve(found), description: found.description ?? resolve(found).description };
  const values = node.enum ?? node.oneOf?.map((one) => one.const);
  return {
    type: values ? ["string", "null"] : ["integer", "null"],
    ...(values ? { enum: [...values, null] } : { minimum: 1 }),
    default: null,
    markdownDescription: `${node.description.replace(/\s+/g, " ")} Where nothing is set, \`${section}.${key}\` of coho counts.`,
  };
}

export function settings() {
  return {
    "coho.home": { type: "string", default: "", scope: "machine", markdownDescription: "coho's data folder; found as coho finds it where nothing is set." },
    "coho.address": { type: "string", default: "", scope: "machine", markdownDescription: "Address of another service than that of the data folder." },
    "coho.answer.strategy": setting("answer", "strategy"),
    "coho.answer.k": setting("answer", "k"),
    "coho.search.k": setting("search", "k"),
  };
}

export function manifestAsItShouldBe() {
  const package_ = JSON.parse(readFileSync(manifest));
  package_.contributes.configuration.properties = settings();
  return JSON.stringify(package_, null, 2) + "\n";
}

async function main() {
  writeFileSync(manifest, manifestAsItShouldBe());
  const out = (name) => new URL(name, import.meta.url).pathname;
  const common = { bundle: true, target: "es2022", legalComments: "none", logLevel: "warning" };
  mkdirSync(out("../vscode/dist/"), { recursive: true });
  mkdirSync(out("../obsidian/dist/"), { recursive: true });
  await build({ ...common, entryPoints: [out("../vscode/src/extension.ts")], outfile: out("../vscode/dist/extension.js"), platform: "node", format: "cjs", external: ["vscode"] });
  await build({ ...common, entryPoints: [out("../vscode/src/view.ts")], outfile: out("../vscode/dist/view.js"), platform: "browser", format: "iife" });
  await build({ ...common, entryPoints: [out("../obsidian/src/main.ts")], outfile: out("../obsidian/dist/main.js"), platform: "node", format: "cjs", external: ["obsidian", "electron"] });
  await build({ ...common, entryPoints: [out("src/panel.ts")], outfile: out("dist/panel.js"), platform: "browser", format: "iife", globalName: "coho" });
  await build({ ...common, entryPoints: [out("src/client.ts")], outfile: out("dist/client.mjs"), platform: "node", format: "esm" });
  copyFileSync(out("src/panel.css"), out("../vscode/dist/panel.css"));
  copyFileSync(out("src/panel.css"), out("../obsidian/dist/styles.css"));
  copyFileSync(out("../obsidian/manifest.json"), out("../obsidian/dist/manifest.json"));
}

if (process.argv[1]?.endsWith("build.mjs")) await main();
