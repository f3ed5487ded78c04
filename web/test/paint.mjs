// Paints in Chromium on the result of a finished job: node test/paint.mjs PAGE_URL TOKEN JOB VIEW THRESHOLD OUT_FOLDER
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const [url, token, job, viewName, threshold, out] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"];
const SIZE_MM = 24;
const inStudy = new URL(url).searchParams.has("case");
mkdirSync(out, { recursive: true });

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS });
const page = await browser.newPage();
const faults = [];
page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
page.on("pageerror", (error) => faults.push(error.message));
const dialogs = [];
page.on("dialog", (dialog) => { dialogs.push(dialog.type()); dialog.accept(); });
const devtools = await page.createCDPSession();
await devtools.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: out });

const text = (selector) => page.$eval(selector, (element) => element.textContent.trim());
const ml = async () => (await text("#edit-note")).match(/The mask has (\S+) ml/)[1];
const click = (selector) => page.$eval(selector, (element) => element.click());
const tool = (name) => click(`[data-tool="${name}"]`);
const frames = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)))));
const place = () => page.$eval("#canvas", ({ dataset }) => [dataset.x, dataset.y, dataset.z].map(Number));
const view = (name) => page.evaluate((wanted) => [...document.querySelectorAll("#views button")].find((button) => button.textContent === wanted).click(), name);

async function until(holds, seconds = 60) {
  for (const end = Date.now() + 1000 * seconds; !(await holds());) {
    assert(Date.now() < end, `waited in vain: ${holds}; ${await text("#trouble")} ${await text("#viewer-note")} ${faults}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function press(at) {
  await page.mouse.move(...at);
  await page.mouse.down();
  await page.mouse.up();
  await frames();
}

async function set(selector, value) {
  await page.$eval(selector, (slider, wanted) => {
    slider.value = wanted;
    slider.dispatchEvent(new Event("input"));
  }, value);
}

const names = () => readdirSync(out);
async function shoot(name, viewport, scheme) {
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await frames();
  await page.screenshot({ path: join(out, `${name}.png`), fullPage: true });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(overflow <= 0, `${name} is ${overflow} px too wide`);
}

await page.setViewport({ width: 1280, height: 1000 });
await page.goto(new URL(`#token=${token}`, url));
if (!inStudy) {
  await page.evaluate((id) => history.pushState({ job: id }, ""), job);
  await page.reload();
}
await page.waitForSelector("#edit", { visible: true, timeout: 60_000 });
await until(() => text("#edit-note"));
const before = await ml();
assert.equal(await text("#save"), "Save the mask");
assert.ok(await page.$eval("#save", (button) => button.disabled), "there is nothing to save");

// The mask at another threshold is the one that is downloaded.
await set("#slider", threshold);
const atThreshold = (await text("#threshold-volume")).match(/^\S+/)[0];
assert.equal(await ml(), atThreshold);
await click("#download-mask");
await until(() => names().some((name) => name.endsWith(`_threshold-${Number(threshold).toFixed(2)}_mask.nii.gz`)));
await click("#own");
assert.equal(await ml(), before);

// A stroke between two places that the crosshair visited.
await view(viewName);
await frames();
await page.$eval("#viewer", (element) => element.scrollIntoView({ block: "start" }));
const { x, y, width, height } = await (await page.$("#canvas")).boundingBox();
const middle = viewName === "Planes" ? 0.16 * width : 0.5 * width; // of the first slice
const offsets = [[middle - 0.1 * height, 0.4 * height], [middle + 0.1 * height, 0.62 * height]];
const [from, to] = offsets.map((at) => [x + at[0], y + at[1]].map(Math.round)); // mouse events, unlike pointer events, have whole pixels
await press(from);
const places = [await place()];
await press(to);
places.push(await place());
assert.ok(Math.hypot(...places[0].map((part, axis) => part - places[1][axis])) > 20, "the crosshair did not follow");
await page.keyboard.press("b");
await set("#size", SIZE_MM);
await page.mouse.move(...from);
await page.mouse.down();
await page.mouse.move(...to, { steps: 1 });
await page.mouse.up();
const painted = await ml();
assert.ok(Number(painted) > Number(before));
assert.match(await text("#edit-note"), /not saved/);
assert.match(await text("#threshold-note"), /only the tool Grow/);
assert.deepEqual(await place(), places[1], "a stroke moved the crosshair");

// Undo and redo, by key and by button; keyboard strokes at the crosshair
await page.keyboard.press("z");
assert.equal(await ml(), before);
await page.keyboard.down("Shift");
await page.keyboard.press("Z");
await page.keyboard.up("Shift");
assert.equal(await ml(), painted);
await page.keyboard.press("e");
await page.keyboard.press(" ");
assert.ok(Number(await ml()) < Number(painted));
await click("#undo");
assert.equal(await ml(), painted);
await tool("drop");
await press(to);
assert.ok(Number(await ml()) < Number(painted));
await click("#undo");
await tool("grow");
await press(to);
await page.keyboard.press("[");
assert.equal(await text("#reach-value"), "25 mm");
while (await ml() !== painted) await click("#undo");
await click("#revert");
assert.equal(await ml(), before);
await click("#undo");
assert.equal(await ml(), painted);
await tool("paint");

// A finger paints and does not scroll; the ring shows the brush under a mouse.
await set("#size", 2 * SIZE_MM);
const scrolled = await page.evaluate(() => scrollY);
await page.touchscreen.touchStart(...from);
await page.touchscreen.touchMove(from[0], to[1]);
await page.touchscreen.touchEnd();
assert.ok(Number(await ml()) > Number(painted), "a finger does not paint");
assert.equal(await page.evaluate(() => scrollY), scrolled);
await click("#undo");
assert.equal(await ml(), painted);
await page.mouse.move(...to);
assert.ok((await page.$eval("#ring", (ring) => ring.getBoundingClientRect().width)) > 10, "no ring is seen");
for (const scheme of process.env.PICTURES ? ["light", "dark"] : []) {
  await shoot(`paint-narrow-${scheme}`, { width: 360, height: 740 }, scheme);
  await shoot(`paint-${scheme}`, { width: 1280, height: 1000 }, scheme);
}

// A server that takes no masks; what is not saved outlasts a look at the list of scans, by whichever button.
if (!inStudy) {
  await page.setRequestInterception(true);
  const refuse = (request) => (request.method() === "PUT" ? request.respond({ status: 405, body: "" }) : request.continue());
  page.on("request", refuse);
  await click("#save");
  await until(async () => /download it instead/.test(await text("#trouble")));
  assert.ok(await page.$eval("#save", (button) => button.hidden), "saving is still offered");
  page.off("request", refuse);
  await page.setRequestInterception(false);
  assert.match(faults.pop(), /status of 405/);
  await click("#back");
  await until(() => page.$eval("#jobs-list .name:not(:disabled)", (button) => !button.click()).catch(() => false));
  await until(async () => page.$eval("#result", (section) => !section.hidden));
  await until(async () => (await text("#edit-note")).includes(`${painted} ml, not saved`));
  await page.goBack();
  await page.waitForSelector("#intake", { visible: true });
  await page.evaluate(() => { document.getElementById("edit-note").textContent = ""; });
  await page.goForward();
  await until(async () => (await text("#edit-note")).includes(`${painted} ml, not saved`));
}

// Unsaved work is warned about; saved work is not. The other downloads are those of the saved mask.
assert.ok(await page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true }))), "no warning on leaving");
await click("#save");
await until(async () => /^Saved: /.test(await text("#edit-note")));
assert.equal(await ml(), painted);
assert.ok(await page.evaluate(() => dispatchEvent(new Event("beforeunload", { cancelable: true }))), "a warning after saving");
assert.equal(await text("#figures dd"), `${painted} ml`);
await click("#undo");
assert.equal(await ml(), before);
await click("#save-file");
await until(() => names().some((name) => name.endsWith("_corrected.nii.gz")));
assert.ok(existsSync(out));
await page.reload();
await page.waitForSelector("#edit", { visible: true, timeout: 60_000 });
await until(() => text("#edit-note"));
assert.equal(await ml(), painted);
assert.deepEqual(dialogs, []);
assert.deepEqual(faults, []);
await browser.close();
console.log(JSON.stringify({ places, radius_mm: SIZE_MM / 2, ml: Number(painted), before: Number(before) }));
