// Sends several scans, deletes, restores and changes the colours in Chromium: node test/workbench.mjs URL TOKEN SCAN_FILE OUT_FOLDER
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { checkAllFinished, checkHistory, checkSlowAnswers } from "./list-checks.mjs";
import { FLAGS, focus, focused, focusOn, gone, idsOf, looked, openPage, out, PATIENT, RESULT_MS, rows, scan, shootAll, status, until } from "./list-page.mjs";

async function checkSeveral(page, seen) {
  const files = [`${PATIENT}_1.nii.gz`, "rubbish.nii", `${PATIENT}_2.nii.gz`].map((name) => join(out, name));
  for (const file of files) copyFileSync(scan, file);
  writeFileSync(files[1], "this is not a scan".repeat(100));
  await shootAll(page, "empty");
  await (await page.$("#file")).uploadFile(...files);
  await page.waitForSelector("#jobs-list li");
  await page.screenshot({ path: join(out, "sending.png") });
  await until(page, ["done", "done", "refused"]);
  await looked(page);
  const all = await rows(page);
  assert.deepEqual(all.map(({ name }) => name).sort(), [`${PATIENT}_1.nii.gz`, `${PATIENT}_2.nii.gz`, "rubbish.nii"]);
  assert.match(all.find(({ state }) => state === "refused").text, /neither NIfTI nor DICOM; send .*\.$/);
  for (const { text } of all.filter(({ state }) => state === "done")) assert.match(text, /^(No lesion|[\d.]+ ml in \d+ lesions?)$/);
  assert.equal(await page.$eval("#jobs-summary", (line) => line.textContent), "2 done, 1 not segmented");
  assert.equal(await page.evaluate(() => window.mostUploads), 2, "the number of uploads at a time");
  assert.ok(seen.posts.length >= 3, "the uploads were not seen");
  assert.ok(!seen.posts.join().includes("Jane"), "the name of a file was sent");
  assert.ok(await page.$eval("#result", (section) => section.hidden), "a result opened by itself");
  await shootAll(page, "list");
}

async function checkKeyboard(page) {
  const name = `${PATIENT}_1.nii.gz`;
  await page.evaluate((wanted) => [...document.querySelectorAll(".name")].find((button) => button.textContent === wanted).focus(), name);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#threshold", { visible: true, timeout: RESULT_MS });
  assert.equal(await page.$eval("#result-title", (title) => title.textContent), name);
  await shootAll(page, "result");
  await page.focus("#back");
  await page.keyboard.press("Enter");
  await focusOn(page, name);
}

async function checkReload(page, browser) {
  await page.evaluate(() => document.querySelector('[data-state="refused"] .action').click());
  await until(page, ["done", "done"]);
  await page.reload();
  await until(page, ["done", "done"]);
  await looked(page);
  assert.deepEqual((await rows(page)).map(({ name }) => name).sort(), [`${PATIENT}_1.nii.gz`, `${PATIENT}_2.nii.gz`]);
  const other = await openPage(browser);
  await until(other.page, ["done", "done"]);
  for (const { name } of await rows(other.page)) assert.match(name, /^Scan [0-9a-f]{8}$/);
  assert.deepEqual(other.seen.faults, []);
  await other.page.close();
}

async function checkUndo(page) {
  const ids = await idsOf(page);
  const name = `${PATIENT}_2.nii.gz`;
  const id = Object.keys(ids).find((key) => ids[key] === name);
  await focus(page, `Delete ${name}`);
  await page.keyboard.press("Enter");
  await until(page, ["deleted", "done"]);
  assert.equal(await focused(page), `Undo ${name}`);
  await gone(id);
  await shootAll(page, "deleted");
  await page.keyboard.press("Enter");
  await until(page, ["done", "done"]);
  assert.equal(await status(`jobs/${id}/result/mask`), 200);
  assert.equal(await focused(page), `Delete ${name}`);
  const began = Date.now();
  await page.keyboard.press("Enter");
  await until(page, ["deleted", "done"]);
  await until(page, ["done"]);
  const seconds = (Date.now() - began) / 1000;
  assert.ok(seconds > 9 && seconds < 13, `undo was offered for ${seconds} s`);
  assert.equal(await focused(page), `Delete ${PATIENT}_1.nii.gz`);
  assert.equal(await status(`jobs/${id}`), 404);
  assert.ok(!(await page.evaluate(() => sessionStorage.getItem("insula.names"))).includes(name), "a deleted scan's name is kept");
}

// A scan that is sent by itself is opened when it is done; deleting it leads back to the list.
async function checkOne(page) {
  await (await page.$("#file")).uploadFile(join(out, `${PATIENT}_2.nii.gz`));
  await page.waitForSelector("#threshold", { visible: true, timeout: RESULT_MS });
  await page.click("#delete");
  await until(page, ["deleted", "done"]);
  assert.equal(await focused(page), `Undo ${PATIENT}_2.nii.gz`);
  await page.goForward();
  await page.waitForFunction(() => document.querySelector("#trouble .trouble"));
  await page.waitForFunction(() => history.state === null);
  assert.equal(await page.$eval("#intake", (section) => section.hidden), false);
}

async function checkTheme(page) {
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  const system = (value) => page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
  const label = () => page.$eval("#theme", (button) => button.textContent);
  const light = await colour();
  await system("dark");
  const dark = await colour();
  assert.notEqual(light, dark);
  const shown = {};
  for (const theme of ["light", "dark", "system"]) {
    await page.click("#theme");
    assert.equal(await label(), `Colours: ${theme}`);
    await page.reload();
    assert.equal(await label(), `Colours: ${theme}`);
    shown[theme] = [await colour(), await scheme()];
    await system("light");
    assert.equal(await colour(), theme === "dark" ? dark : light);
    await system("dark");
  }
  assert.deepEqual(shown, { light: [light, "light"], dark: [dark, "dark"], system: [dark, "light dark"] });
}

mkdirSync(out, { recursive: true });
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS });
try {
  const { page, seen } = await openPage(browser);
  await checkSeveral(page, seen);
  await checkKeyboard(page);
  await checkReload(page, browser);
  await checkHistory(page);
  await checkSlowAnswers(page);
  await checkAllFinished(page);
  await checkUndo(page);
  await checkOne(page);
  await checkTheme(page);
  assert.deepEqual(seen.faults, []);
  console.log(JSON.stringify({ ok: true }));
} catch (error) {
  console.log(JSON.stringify({ ok: false, what: error.message }));
  console.error(error.stack);
  process.exitCode = 1;
} finally {
  await browser.close();
}
