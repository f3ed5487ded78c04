// Two raters review a served study in Chromium at once: node test/board.mjs ADDRESS TOKEN OUT_FOLDER
import assert from "node:assert/strict";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const [address, token, out] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ["--no-sandbox"] });
const faults = [];

async function open() {
  const context = await browser.createBrowserContext(), page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error" && !/401|409|Failed to load/.test(message.text())) faults.push(message.text()); });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => { if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(address)) faults.push(`a request to ${request.url()}`); });
  await page.setViewport({ width: 1280, height: 900 });
  return page;
}

const text = (page, selector) => page.$eval(selector, (element) => element.textContent.trim());
const verdicts = (page, name) => page.$$eval(`tr[data-case="${name}"] .verdicts p`, (lines) => lines.map((line) => line.textContent.trim()));
const settled = (page, condition, ...more) => page.waitForFunction(condition, { timeout: 20_000 }, ...more);
const saved = (page) => settled(page, () => document.getElementById("saving")?.textContent === "All verdicts are saved.");
const judge = async (page, name, key) => { await page.$eval(`tr[data-case="${name}"] td`, (cell) => cell.click()); await page.keyboard.press(key); };
async function pictures(page, name) {
  for (const width of [360, 1280]) {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.setViewport({ width, height: 900 });
      await page.screenshot({ path: join(out, `${name}_${width}_${scheme}.png`) });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${name} is wider than ${width}`);
    }
  }
}

// Without a token the entrance asks for it; a wrong one is not accepted, and a link with the right one needs no typing.
const anna = await open();
await anna.goto(`${address}/study/`);
await settled(anna, () => !document.querySelector("form").hidden);
assert.ok(anna.url().endsWith("/study/enter"), anna.url());
await anna.type("#token", "wrong");
await anna.keyboard.press("Enter");
await settled(anna, () => document.getElementById("message").textContent.includes("does not accept"));
await pictures(anna, "enter");
for (const [typed, said] of [["a\u2019b", "a character that no token has"], [token, ""]]) {
  await anna.$eval("#token", (input) => { input.value = ""; });
  await anna.type("#token", typed);
  if (!said) break;
  await anna.keyboard.press("Enter");
  await anna.waitForFunction((text) => document.getElementById("message").textContent.includes(text), {}, said);
}
await Promise.all([anna.waitForSelector("#board"), anna.keyboard.press("Enter")]);
const ben = await open();
await ben.goto(`${address}/study/#token=${token}`);
await ben.waitForSelector("#board");
assert.ok(ben.url().endsWith("/study/"), ben.url());

// Both judge the same cases at once; nothing is lost, and each sees the other's verdict after the own one.
const [first, second] = await anna.$$eval("tbody tr", (rows) => rows.map((row) => row.dataset.case));
for (const [page, name] of [[anna, "anna"], [ben, "ben"]]) {
  await page.type("#rater", name);
  await page.$eval("#rater", (input) => input.blur());
}
await Promise.all([judge(anna, first, "p"), judge(ben, first, "f")]);
await Promise.all([saved(anna), saved(ben)]);
await judge(ben, second, "x");
await saved(ben);
await settled(anna, (name) => document.querySelector(`tr[data-case="${name}"] .verdicts`).textContent.includes("ben: fail"), first);
assert.deepEqual(await verdicts(anna, second), []);
await judge(anna, second, "p");
await saved(anna);
assert.deepEqual(await verdicts(anna, second), ["pass", "ben: fix"]);

// Undo says again what was said before, or withdraws.
await judge(anna, second, "f");
await saved(anna);
await anna.keyboard.press("u");
await saved(anna);
assert.deepEqual(await verdicts(anna, second), ["pass", "ben: fix"]);
await anna.keyboard.press("u");
await saved(anna);
assert.deepEqual(await verdicts(anna, second), []);
assert.equal(await text(anna, "#progress"), "1 of 2 reviewed");

// While the service refuses, the browser keeps the verdict, and sends it later.
await ben.setOfflineMode(true);
await judge(ben, second, "p");
await settled(ben, () => document.getElementById("message").textContent.includes("keeps the verdicts"));
assert.equal(await text(ben, "#saving"), "1 to be saved");
await ben.setOfflineMode(false);
await saved(ben);
assert.equal(await ben.$eval("#message", (line) => line.hidden), true);

// A table that is malformed on the server delays a verdict, and only the message about that goes away with it.
const answers = { verdicts: null, live: null };
await ben.setRequestInterception(true);
ben.on("request", async (request) => {
  const answer = answers[request.url().split("/").at(-1)];
  const made = answer ? await answer() : null;
  if (made) await request.respond({ contentType: "application/json", ...made });
  else await request.continue();
});
answers.verdicts = () => ({ status: 409, body: JSON.stringify({ error: { message: "review.tsv is malformed." } }) });
await judge(ben, second, "x");
await settled(ben, () => document.getElementById("message").textContent.startsWith("review.tsv is malformed. This browser keeps"));
answers.verdicts = null;
await saved(ben);
assert.equal(await ben.$eval("#message", (line) => line.hidden), true);

// An answer from before a verdict was saved does not take it away.
let release = null;
const stale = new Promise((reached) => {
  answers.live = async () => {
    answers.live = null;
    const response = await fetch(`${address}/study/live`, { headers: { Authorization: `Bearer ${token}` } });
    const body = await response.text();
    reached();
    await new Promise((done) => { release = done; });
    return { status: 200, headers: { ETag: '"stale"' }, body };
  };
});
await stale;
await judge(ben, second, "f");
await saved(ben);
const answered = ben.waitForResponse((response) => response.headers().etag === '"stale"');
release();
await answered;
await new Promise((done) => setTimeout(done, 200));
assert.deepEqual(await verdicts(ben, second), ["fail"]);
await judge(ben, second, "p");
await saved(ben);

// On a computer whose clock is slow, the service keeps the earlier verdict; the page says so, but not if both say the same.
const notSaved = (page) => settled(page, () => document.getElementById("message").textContent.startsWith("Not saved for "));
await ben.evaluate(() => { window.toISOString = Date.prototype.toISOString; Date.prototype.toISOString = () => "2020-01-01T00:00:00.000Z"; });
await judge(ben, second, "x");
await notSaved(ben);
assert.match(await text(ben, "#message"), new RegExp(`^Not saved for ${second}: the service has a later entry`));
assert.equal((await verdicts(ben, second))[0], "pass");
await judge(ben, second, "p");
await saved(ben);
assert.equal(await ben.$eval("#message", (line) => line.hidden), true);
await judge(ben, second, "f");
await notSaved(ben);
await ben.evaluate(() => { Date.prototype.toISOString = window.toISOString; });

// A tab without the cookie goes on: it sends its token.
await anna.deleteCookie(...(await anna.cookies()));
await judge(ben, first, "x");
await saved(ben);
await settled(anna, (name) => document.querySelector(`tr[data-case="${name}"] .verdicts`).textContent.includes("ben: fix"), first);
await judge(ben, first, "f");
await saved(ben);
await settled(anna, (name) => document.querySelector(`tr[data-case="${name}"] .verdicts`).textContent.includes("ben: fail"), first);
await anna.goto(`${address}/study/enter#token=${token}`);
await anna.waitForSelector("#board");

// A case's page opens and the way back leads to the same case; the editor is one link away.
await pictures(anna, "board");
await anna.setViewport({ width: 1280, height: 900 });
assert.equal(await anna.$eval(`tr[data-case="${first}"] .edit`, (link) => link.href), `${address}/?case=${encodeURIComponent(first)}`);
await anna.$eval(`tr[data-case="${first}"] td`, (cell) => cell.click());
await Promise.all([anna.waitForNavigation(), anna.keyboard.press("Enter")]);
assert.ok(anna.url().includes("/study/files/"), anna.url());
await anna.goBack();
assert.equal(await anna.$eval("tr[aria-current]", (row) => row.dataset.case), first);
await anna.reload();
assert.deepEqual(await verdicts(anna, first), ["pass", "ben: fail"]);

assert.deepEqual(faults, []);
await browser.close();
console.log(JSON.stringify({ ok: true }));
