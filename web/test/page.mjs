// Drives the page in Chromium against a running server: node test/page.mjs URL TOKEN SCAN_FILE_OR_DICOM_FOLDER OUT_FOLDER
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import puppeteer from "puppeteer-core";

const [url, token, scan, out] = process.argv.slice(2);
const origin = new URL(url).origin;
const RESULT_MS = Number(process.env.RESULT_MS ?? 300_000);
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };
const BUSY = /status of 503/;
const FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"];

const launch = (args) => puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args });

async function openPage(browser, { hash = `#token=${token}`, allowed = /^$/ } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => { if (message.type() === "error" && !allowed.test(message.text())) faults.push(message.text()); });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => { if (isForeign(request.url())) faults.push(`a request to ${request.url()}`); });
  await page.setViewport(WIDE);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await page.evaluateOnNewDocument(`globalThis.countColours = ${countColours}`);
  await page.goto(url + hash);
  return { page, faults };
}

const isForeign = (address) => !/^(blob|data):/.test(address) && new URL(address).origin !== origin;
const text = (page, selector) => page.$eval(selector, (element) => element.textContent.trim());
const shown = (page, selector, timeout) => page.waitForSelector(selector, { visible: true, timeout });

async function choose(page, path) {
  await shown(page, "#intake");
  const files = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
  await (await page.$("#file")).uploadFile(...files);
}

async function shoot(page, name, { viewport = WIDE, scheme = "light", fullPage = true } = {}) {
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await drawn(page);
  await page.screenshot({ path: join(out, `${name}.png`), fullPage });
}

// Two frames: one in which the page asks for the picture, one in which it is there.
const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300)))));

async function pixels(page) {
  await drawn(page);
  const png = await (await page.$("#canvas")).screenshot({ encoding: "base64" });
  return page.evaluate(async (base64) => {
    const image = Object.assign(new Image(), { src: `data:image/png;base64,${base64}` });
    await image.decode();
    const context = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height }).getContext("2d");
    context.drawImage(image, 0, 0);
    return globalThis.countColours(context);
  }, png);
}

// Runs in the page.
function countColours(context) {
  const { data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  const counts = { lit: 0, lesion: 0 };
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
    counts.lit += red + green + blue > 60;
    counts.lesion += red > green + 50 && red > blue + 50;
  }
  return counts;
}

async function checkPrint(page, record) {
  await page.pdf({ path: join(out, "printed.pdf"), printBackground: true });
  const paper = await page.$eval("#printed", (copy) => globalThis.countColours(copy.getContext("2d")));
  assert(paper.lit > 1000, "the pictures are black on paper");
  if (record.lesion_count > 0) assert(paper.lesion > 20, "the lesion is not seen on paper");
}

async function get(path) {
  const response = await fetch(`${origin}/v1/${path}`, { headers: { Authorization: `Bearer ${token}` } });
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
}

// Apart from the page's own reader: NIfTI-1, little-endian.
function readMap(bytes, leastMl) {
  const raw = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
  const spacing = [80, 84, 88].map((at) => raw.readFloatLE(at));
  const [slope, intercept] = [raw.readFloatLE(112) || 1, raw.readFloatLE(116) || 0];
  const size = { 2: 1, 4: 2, 16: 4 }[raw.readInt16LE(70)];
  const value = { 1: (at) => raw.readUInt8(at), 2: (at) => raw.readInt16LE(at), 4: (at) => raw.readFloatLE(at) }[size];
  const start = raw.readFloatLE(108);
  const shape = [42, 44, 46].map((at) => raw.readInt16LE(at));
  const voxelMl = (spacing[0] * spacing[1] * spacing[2]) / 1000;
  const volumeFrom = (threshold) => {
    const above = new Set();
    for (let at = start, index = 0; at < raw.length; at += size, index += 1) if (value(at) * slope + intercept >= Math.fround(threshold)) above.add(index);
    let count = 0;
    for (const first of above) {
      const lesion = [first];
      above.delete(first);
      for (const index of lesion) for (const next of around(index, shape)) if (above.delete(next)) lesion.push(next);
      if (lesion.length * voxelMl >= leastMl) count += lesion.length;
    }
    return count * voxelMl;
  };
  return { spacing, volumeFrom };
}

function around(index, [x, y, z]) {
  const [i, j, k] = [index % x, Math.trunc(index / x) % y, Math.trunc(index / (x * y))];
  const inside = (at, length) => [at - 1, at, at + 1].filter((place) => place >= 0 && place < length);
  return inside(k, z).flatMap((c) => inside(j, y).flatMap((b) => inside(i, x).map((a) => a + x * (b + y * c))));
}

async function checkPictures(page, record) {
  const withLesions = await pixels(page);
  assert(withLesions.lit > 1000, "the pictures are black");
  await page.click("#overlay");
  const without = await pixels(page);
  await page.click("#overlay");
  assert.equal(without.lesion, 0, "the scan alone has the lesion's colour");
  if (record.lesion_count > 0) assert(withLesions.lesion > 20, "the lesion is not seen");
  await checkPrint(page, record);
  return withLesions;
}

async function checkThreshold(page, record, map) {
  const figure = `${record.volume_ml.toFixed(2)} ml`;
  assert.equal(await text(page, "#figures dd"), figure, "the figure is not the record's volume");
  assert.equal(await text(page, "#threshold-volume"), figure, "the volume at the model's threshold is not the record's");
  await page.focus("#slider");
  const seen = {};
  for (const key of ["ArrowLeft", "ArrowLeft", "ArrowLeft", "Home", "End"]) {
    await page.keyboard.press(key);
    const threshold = await page.$eval("#slider", (slider) => slider.valueAsNumber);
    seen[threshold] = await text(page, "#threshold-volume");
    const expected = map.volumeFrom(threshold);
    assert(Math.abs(parseFloat(seen[threshold]) - expected) <= 0.005 + 1e-6 * expected, `${seen[threshold]} at ${threshold}, not ${expected} ml`);
  }
  await checkOverlayFollows(page, map);
  await page.click("#own");
  assert.equal(await text(page, "#threshold-volume"), figure, "the way back to the model's threshold fails");
  return seen;
}

async function checkOverlayFollows(page, map) {
  await page.keyboard.press("Home");
  const most = await pixels(page);
  await page.keyboard.press("End");
  const least = await pixels(page);
  if (map.volumeFrom(0.05) > 1.2 * map.volumeFrom(0.95)) assert(most.lesion > least.lesion, "the overlay does not follow the threshold");
}

const position = (page) => page.$eval("#canvas", ({ dataset }) => [dataset.x, dataset.y, dataset.z].map(Number));

async function checkCrosshair(page, record, map) {
  await page.focus("#canvas");
  const before = await position(page);
  for (const key of ["ArrowLeft", "ArrowUp", "PageUp"]) await page.keyboard.press(key);
  const after = await position(page);
  const moved = Math.hypot(...after.map((part, axis) => part - before[axis]));
  assert(moved > 0 && moved <= 3 * Math.max(...map.spacing), `three keys moved the crosshair by ${moved} mm`);
  for (const [index, { centre_mm }] of record.lesions.entries()) {
    await (await page.$$("#lesions tbody button"))[index].press("Enter");
    const reached = await position(page);
    const off = Math.hypot(...reached.map((part, axis) => part - centre_mm[axis]));
    assert(off <= Math.max(...map.spacing), `the crosshair is ${off} mm from lesion ${index + 1}`);
  }
}

async function checkDownloads(page, id, record) {
  const folder = resolve(out, "downloads");
  rmSync(folder, { recursive: true, force: true });
  const client = await page.createCDPSession();
  await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder, browserContextId: page.browserContext().id });
  const parts = { mask: "_mask.nii.gz", prob: "_prob.nii.gz", record: ".json" };
  if (record.files.seg) Object.assign(parts, { seg: "_seg.dcm", probseg: "_probseg.dcm", sr: "_sr.dcm" });
  const buttons = await page.$$("#downloads button");
  assert.equal(buttons.length, Object.keys(parts).length + 2, "files are missing from the list");
  for (const button of buttons) await button.press("Enter");
  for (const [part, suffix] of Object.entries(parts)) {
    const path = join(folder, `${id}${suffix}`);
    await until(() => existsSync(path));
    assert(readFileSync(path).equals((await get(`jobs/${id}/result/${part}`)).body), `${part} is not what the server has`);
  }
  await until(() => existsSync(join(folder, `${id}.zip`)));
  const tab = await page.browserContext().waitForTarget((target) => target.url().startsWith("blob:"), { timeout: 10_000 });
  const report = await tab.page();
  assert.equal(await report.title(), "Lesion report");
  await report.close();
}

async function until(holds, timeout = 15_000) {
  for (const end = Date.now() + timeout; !holds();) {
    assert(Date.now() < end, `waited in vain: ${holds}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

const press = (page, name) => page.evaluate((wanted) => [...document.querySelectorAll("#views button")].find((button) => button.textContent === wanted).click(), name);

async function checkResult(browser) {
  const { page, faults } = await openPage(browser, { allowed: BUSY });
  assert.equal(new URL(page.url()).hash, "", "the token stays in the address");
  await shoot(page, "intake");
  await shoot(page, "intake-narrow", { viewport: NARROW });
  await page.setViewport(WIDE);
  await choose(page, scan);
  await shown(page, "#jobs-list li, #result");
  await shoot(page, "progress", { fullPage: false });
  await shown(page, "#threshold", RESULT_MS);
  const id = await page.evaluate(() => history.state.job);
  const { record } = JSON.parse((await get(`jobs/${id}`)).body);
  const map = readMap((await get(`jobs/${id}/result/prob`)).body, record.provenance.inference.min_lesion_ml);
  const counts = await checkPictures(page, record);
  const volumes = await checkThreshold(page, record, map);
  await checkCrosshair(page, record, map);
  await shootResult(page);
  await checkDownloads(page, id, record);
  await page.reload();
  await shown(page, "#threshold", RESULT_MS);
  await checkWithoutWebgl(id, record);
  await page.click("#delete");
  await shown(page, "#intake");
  const end = Date.now() + RESULT_MS; // the list is shown before the server has answered
  while ((await get(`jobs/${id}`)).status !== 404 && Date.now() < end) await new Promise((done) => setTimeout(done, 100));
  assert.equal((await get(`jobs/${id}`)).status, 404, "the deleted job is still there");
  assert.deepEqual(faults, []);
  return { volume_ml: record.volume_ml, lesions: record.lesion_count, volumes, pixels: counts };
}

async function shootResult(page) {
  await shoot(page, "light");
  await shoot(page, "dark", { scheme: "dark" });
  await shoot(page, "narrow", { viewport: NARROW });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(overflow <= 0, `the narrow page is ${overflow} px too wide`);
  await page.setViewport(WIDE);
  await press(page, "3-D");
  assert((await pixels(page)).lit > 1000, "the 3-D picture is black");
  await shoot(page, "3d", { fullPage: false });
}

async function checkWithoutWebgl(id, record) {
  const browser = await launch([...FLAGS, "--disable-3d-apis"]);
  try {
    const { page, faults } = await openPage(browser);
    await page.evaluate((job) => history.pushState({ job }, ""), id);
    await page.reload();
    await shown(page, "#threshold", RESULT_MS);
    assert.match(await text(page, "#viewer-note"), /no WebGL2/);
    assert.equal(await text(page, "#figures dd"), `${record.volume_ml.toFixed(2)} ml`);
    await shoot(page, "without-webgl");
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
  }
}

async function checkGarbage(browser) {
  const garbage = join(out, "garbage.nii");
  writeFileSync(garbage, "this is not a scan".repeat(100));
  const { page, faults } = await openPage(browser, { allowed: /status of (4\d\d|503)/ });
  await choose(page, garbage);
  await shown(page, '[data-state="refused"]', RESULT_MS);
  await shoot(page, "garbage", { fullPage: false });
  assert.deepEqual(faults, []);
  return text(page, '[data-state="refused"] .text');
}

async function checkAccess(browser) {
  const { page, faults } = await openPage(browser, { hash: "" });
  await shown(page, "#access");
  await shoot(page, "access", { fullPage: false });
  await page.type("#token", token);
  await page.keyboard.press("Enter");
  await shown(page, "#intake");
  assert.deepEqual(faults, []);
}

mkdirSync(out, { recursive: true });
const browser = await launch(FLAGS);
try {
  await checkAccess(browser);
  const garbage = await checkGarbage(browser);
  const result = await checkResult(browser);
  console.log(JSON.stringify({ ok: true, ...result, garbage }));
} catch (error) {
  console.log(JSON.stringify({ ok: false, what: error.message }));
  console.error(error.stack);
  process.exitCode = 1;
} finally {
  await browser.close();
}
