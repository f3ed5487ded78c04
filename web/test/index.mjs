// Reviews a study in Chromium as a rater does: node test/index.mjs INDEX GROWN_INDEX TABLE MALFORMED_TABLE OUT_FOLDER
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [index, grown, table, malformed, out] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ["--no-sandbox"] });
const page = await browser.newPage();
const faults = [];
page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
page.on("pageerror", (error) => faults.push(error.message));
page.on("request", (request) => { if (!/^(data|blob):/.test(request.url()) && !request.isNavigationRequest()) faults.push(`a request to ${request.url()}`); });
const devtools = await page.createCDPSession();
await devtools.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: out });

const text = (selector) => page.$eval(selector, (element) => element.textContent.trim());
const verdicts = (name) => page.$$eval(`tr[data-case="${name}"] .verdicts p`, (lines) => lines.map((line) => line.textContent.trim()));
const shown = () => page.$$eval("tbody tr", (rows) => rows.filter((row) => !row.hidden).map((row) => row.dataset.case));
const current = () => page.$eval("tr[aria-current]", (row) => row.dataset.case);
const message = () => page.$eval("#message", (line) => (line.hidden ? "" : line.textContent));
const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
const show = (value) => page.select("#filter", value);
const upload = async (path) => (await page.$("#import")).uploadFile(path);
const settled = (condition, ...more) => page.waitForFunction(condition, { timeout: 10_000 }, ...more);

await page.setViewport({ width: 1280, height: 900 });
await page.goto(pathToFileURL(index));

// Without a rater's name, the page shows what was recorded, and takes no verdict.
assert.equal(await text("#progress"), "1 of 3 reviewed");
assert.deepEqual(await verdicts("a"), ["anna: pass, out of date"]);
assert.deepEqual(await verdicts("b"), ["ben: pass a note"]);
await press("j", "j", "p");
assert.match(await message(), /Type your name/);

// With a name, only the rater's own verdicts count and show. A verdict on an earlier mask does not count.
await page.type("#rater", "anna");
assert.equal(await text("#progress"), "0 of 3 reviewed");
assert.deepEqual(await verdicts("a"), ["pass, out of date"]);
assert.deepEqual(await verdicts("b"), []);
await page.$eval("#rater", (input) => input.blur());

// Keys: move, judge, note, undo
const order = await shown();
assert.equal(order[0], "refused");
await press("k", "k", "k", "k", "k");
assert.equal(await current(), order[0]);
await press("p");
assert.equal(await text("#progress"), "0 of 3 reviewed");
await press("ArrowDown");
assert.equal(await current(), order[1]);
await page.$eval('tr[data-case="b"]', (row) => row.click());
await press("p");
assert.deepEqual(await verdicts("b"), ["pass", "ben: pass a note"]);
await press("n");
await page.keyboard.type('rim\t"cut" p');
await page.click('dialog button[value="keep"]');
await settled(() => document.querySelector('tr[data-case="b"] .verdicts').textContent.includes("rim"));
assert.equal((await verdicts("b"))[0], "pass rim 'cut' p");
await page.click('tr[data-case="c"] .verdicts button:nth-of-type(3)');
assert.equal(await text("#progress"), "2 of 3 reviewed");
await press("x");
assert.deepEqual(await verdicts("c"), ["fix"]);
await press("u");
assert.deepEqual(await verdicts("c"), ["fail"]);
await press("u");
assert.deepEqual(await verdicts("c"), []);
await press("f");

// Filters; the case at hand stays until one moves on
for (const [value, cases] of [["open", ["a"]], ["fail", ["c"]], ["fix", []], ["refused", ["refused"]], ["warnings", ["c"]]]) {
  await show(value);
  assert.deepEqual(await shown(), cases, value);
}
await show("open");
await press("j", "x");
assert.deepEqual(await shown(), ["a"]);
assert.equal(await text("#progress"), "3 of 3 reviewed");
await press("u");
await show("all");
await page.type("#search", "B");
assert.deepEqual(await shown(), ["b"]);
await page.$eval("#search", (input) => { input.value = ""; input.dispatchEvent(new Event("input")); input.blur(); });

// Kept over a reload and in the index of a study that has grown
await page.reload();
assert.equal(await text("#progress"), "2 of 3 reviewed");
await page.goto(pathToFileURL(grown));
assert.equal(await text("#progress"), "2 of 4 reviewed");
await page.goto(pathToFileURL(index));

// Files: a malformed table changes nothing
await upload(malformed);
await settled(() => !document.getElementById("message").hidden);
assert.match(await message(), /row 2, column verdict\. Nothing was imported/);
await upload(table);
await settled(() => document.getElementById("message").textContent.includes("another study"));
assert.deepEqual((await verdicts("c")), ["fail", "ben: fix", "n/a: pass"]);
await page.click("#export");
for (let tries = 0; !existsSync(join(out, "review_anna.tsv")) && tries < 100; tries++) await new Promise((done) => setTimeout(done, 50));

for (const width of [360, 1280]) {
  await page.setViewport({ width, height: 740 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `wider than ${width}`);
}

// Enter opens the page of the case, and the way back leads to the same case
await page.$eval('tr[data-case="b"]', (row) => row.click());
await Promise.all([page.waitForNavigation(), press("Enter")]);
assert.ok(page.url().endsWith("/b.html"), page.url());
await page.goBack();
assert.equal(await current(), "b");

assert.deepEqual(faults, []);
await browser.close();
console.log(JSON.stringify({ ok: true }));
