// Builds the page into the Python package: minified, self-contained, and the same bytes every time.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../src/insula/serve/page");

// NiiVue also opens Zarr stores, whose WebAssembly codecs are two thirds of it; the page opens NIfTI only.
const withoutZarr = {
  name: "without-zarr",
  setup(bundle) {
    bundle.onResolve({ filter: /^zarrita$/ }, () => ({ path: "zarrita", namespace: "absent" }));
    bundle.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "module.exports = {}" }));
  },
};

async function bundle() {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: ["src/page.js", "src/theme.js", "src/page.css"],
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    metafile: true,
    plugins: [withoutZarr],
  });
  return Object.keys(metafile.inputs);
}

async function licences(inputs) {
  const packages = new Set(inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
  const texts = await Promise.all([...packages].sort().map(licence));
  return texts.join(`\n${"-".repeat(78)}\n\n`);
}

async function licence(name) {
  const folder = join(here, "node_modules", name);
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const kept = join(here, "licences", `${name.replace("/", "+")}.txt`);
  const path = existsSync(kept) ? kept : join(folder, (await readdir(folder)).find((file) => /^licen[cs]e/i.test(file)));
  return `${name} ${version}\n\n${(await readFile(path, "utf8")).trim()}\n`;
}

async function sourcesSha256() {
  const entries = await readdir(join(here, "src"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const paths = [...files, join(here, "package-lock.json"), join(here, "build.mjs")].map((file) => relative(here, file).split(sep).join("/"));
  const hash = createHash("sha256");
  for (const path of paths.sort()) {
    hash.update(path).update("\0").update(await readFile(join(here, path))).update("\0");
  }
  return hash.digest("hex");
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const inputs = await bundle();
await copyFile(join(here, "src/index.html"), join(out, "index.html"));
await writeFile(join(out, "page.js.LEGAL.txt"), await licences(inputs));
await writeFile(join(out, "build.json"), `${JSON.stringify({ sources_sha256: await sourcesSha256() })}\n`);
