// Paints a ball in many small scans, one after the other, in Chromium: node test/orders.mjs CASES_FOLDER OUT_FOLDER
// Each case is a folder with record.json, scan.nii, mask.nii and prob.nii. Its first lesion is where the scan is bright.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const [cases, out] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"];
const PAINTED_BY_CPU = ["--disable-gpu-compositing", "--disable-gpu-rasterization"]; // half of the time
const PAGE = fileURLToPath(new URL("../../src/insula/serve/page/", import.meta.url));
const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json" };
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const SIZE_MM = 24;
const VIEWS = ["Axial", "Coronal", "Sagittal"];
const NEAR_MM = 3; // the bright place is made of voxels
const ids = readdirSync(cases).sort();

const recordOf = (id) => JSON.parse(readFileSync(join(cases, id, "record.json")));
const jobOf = (id) => ({ id, state: "done", step: "done", progress: 1, ahead: 0, created: "2026-01-01T00:00:00Z", expires: "2026-01-02T00:00:00Z" });

// Stands in for the service: finished jobs, whose masks are written where they can be checked.
function answer({ method, url }, body) {
  const [, first, ...rest] = url.split("/");
  if (first !== "v1") return [readFileSync(join(PAGE, rest[0] ?? "index.html")), TYPES[(rest[0] ?? "html").split(".").at(-1)]];
  const [, id, part, name] = rest;
  if (method === "PUT") writeFileSync(join(out, `${id}.nii.gz`), body);
  if (part === "thumbnail") return [PNG, "image/png"];
  if (name) return [readFileSync(join(cases, id, `${name}.nii`)), "application/octet-stream"];
  if (part) return [JSON.stringify(recordOf(id)), TYPES.json];
  return [JSON.stringify(id ? { ...jobOf(id), record: recordOf(id) } : ids.map(jobOf)), TYPES.json];
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const [content, type] = answer(request, Buffer.concat(parts));
  response.writeHead(200, { "Content-Type": type }).end(content);
});

mkdirSync(out, { recursive: true });
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: [...FLAGS, ...PAINTED_BY_CPU] });
const page = await browser.newPage();
const faults = [];
page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
page.on("pageerror", (error) => faults.push(error.message));

const until = (holds, ...more) => page.waitForFunction(holds, { timeout: 20_000 }, ...more);
const place = () => page.$eval("#canvas", ({ dataset }) => [dataset.x, dataset.y, dataset.z].map(Number));
const away = (mm, other) => Math.hypot(...mm.map((part, axis) => part - other[axis]));

// Runs in the page: makes what the canvas shows readable at any time, and quick to draw.
function keepPictures() {
  const { getContext } = HTMLCanvasElement.prototype;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return getContext.call(this, kind, { ...options, antialias: false, preserveDrawingBuffer: true });
  };
}

// Where the picture is white, on the screen.
const brightest = () => page.$eval("#canvas", (canvas) => {
  const { width, height } = canvas;
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const sums = [0, 0, 0];
  for (let at = 0; at < data.length; at += 4) {
    if (Math.min(data[at], data[at + 1], data[at + 2]) < 235) continue;
    const pixel = at / 4;
    [pixel % width, Math.floor(pixel / width), 1].forEach((part, index) => { sums[index] += part; });
  }
  const { left, top, width: shown } = canvas.getBoundingClientRect();
  return [left + (sums[0] / sums[2]) * (shown / width), top + (sums[1] / sums[2]) * (shown / width)];
});

async function open(id) {
  await page.$eval(`[data-key="${id}"] .name`, (button) => button.click());
  await until(() => !document.getElementById("result").hidden && document.getElementById("viewer-note").hidden);
}

// What is bright in the picture is at its place in the world, from whichever side it is looked at.
async function checkPicture(id, view, mm) {
  await page.evaluate((wanted) => [...document.querySelectorAll("#views button")].find((button) => button.textContent === wanted).click(), view);
  const { x, y, width, height } = await (await page.$("#canvas")).boundingBox();
  await page.mouse.click(x + width / 2, y + height / 2);
  assert.ok(away(await place(), mm) > 2 * NEAR_MM, `${id}: the crosshair did not move`);
  await page.mouse.click(...(await brightest()));
  const seen = await place();
  assert.ok(away(seen, mm) <= NEAR_MM, `${id}: in the ${view.toLowerCase()} view the place ${mm} is seen at ${seen}`);
}

async function paint(id) {
  await page.focus("#canvas");
  await page.keyboard.press("b");
  await page.keyboard.press(" ");
  await page.$eval("#save", (button) => button.click());
  await until(() => /^Saved: /.test(document.getElementById("edit-note").textContent));
  assert.ok(existsSync(join(out, `${id}.nii.gz`)));
  await page.$eval("#back", (button) => button.click());
  await until(() => !document.getElementById("intake").hidden);
}

try {
  await page.evaluateOnNewDocument(keepPictures);
  await page.setViewport({ width: 220, height: 1400 });
  await page.goto(`http://127.0.0.1:${server.address().port}/#token=a-token`);
  await until((count) => document.querySelectorAll("#jobs-list .name:not(:disabled)").length === count, ids.length);
  await page.evaluate((mm) => {
    document.getElementById("ball").checked = true;
    document.getElementById("size").value = mm;
  }, SIZE_MM);
  for (const [index, id] of ids.entries()) {
    const mm = recordOf(id).lesions[0].centre_mm;
    await open(id);
    await checkPicture(id, VIEWS[index % VIEWS.length], mm);
    await page.$eval("#lesions tbody button", (button) => button.click());
    assert.ok(away(await place(), mm) < 0.01, `${id}: the crosshair is at ${await place()}, not at ${mm}`);
    await paint(id);
  }
  assert.deepEqual(faults, []);
  console.log(JSON.stringify({ painted: ids.length, radius_mm: SIZE_MM / 2 }));
} finally {
  await browser.close();
  server.close();
}
