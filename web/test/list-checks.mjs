// Goes back and forth in the history, and deletes with slow, refused and many answers: used by workbench.mjs.
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { focus, focused, focusOn, gone, idsOf, looked, origin, out, PATIENT, RESULT_MS, rows, scan, shootAll, status, token, until } from "./list-page.mjs";

// A result is an entry of the history, above the list's; the page's own button leaves none behind.
export async function checkHistory(page) {
  const name = `${PATIENT}_2.nii.gz`;
  const open = () => page.evaluate((wanted) => [...document.querySelectorAll(".name")].find((button) => button.textContent === wanted).click(), name);
  const isShown = async () => {
    await page.waitForSelector("#threshold", { visible: true, timeout: RESULT_MS });
    assert.equal(await page.$eval("#result-title", (title) => title.textContent), name);
    assert.equal(page.url(), `${origin}/`);
  };
  const isListed = async () => {
    await page.waitForSelector("#intake", { visible: true });
    await focusOn(page, name);
    assert.equal(await page.$eval("#result", (section) => section.hidden), true);
  };
  await open();
  await isShown();
  const entries = await page.evaluate(() => history.length);
  for (const reload of [false, true]) {
    if (reload) await page.reload();
    await isShown();
    await page.goBack();
    await isListed();
    await page.goForward();
  }
  for (let times = 0; times < 3; times += 1) {
    await isShown();
    await page.$eval("#back", (button) => { button.click(); button.click(); });
    await isListed();
    await page.evaluate((wanted) => { for (const button of document.querySelectorAll(".name")) if (button.textContent === wanted) { button.click(); button.click(); } }, name);
  }
  await isShown();
  await page.click("#another");
  await page.waitForSelector("#intake", { visible: true });
  assert.equal(await page.evaluate(() => document.activeElement.id), "file");
  assert.equal(await page.evaluate(() => history.length), entries);
}

// The answer to a deletion is held back while the list is read again; another deletion fails.
export async function checkSlowAnswers(page) {
  const [first, second] = [1, 2].map((number) => `${PATIENT}_${number}.nii.gz`);
  const ids = await idsOf(page);
  const idOf = (name) => Object.keys(ids).find((id) => ids[id] === name);
  let [answer, refused] = [null, false];
  const intercept = async (request) => {
    if (request.method() !== "DELETE") return request.continue();
    if (refused) return request.respond({ status: 507, body: JSON.stringify({ error: { message: "the disk is full" } }) });
    if (!request.url().includes(idOf(first))) return request.continue();
    await fetch(request.url(), { method: "DELETE", headers: { Authorization: `Bearer ${token}` } });
    answer = () => request.respond({ status: 204 });
  };
  await page.setRequestInterception(true);
  page.on("request", intercept);
  await focus(page, `Delete ${first}`);
  await page.keyboard.press("Enter");
  await gone(idOf(first));
  const list = page.waitForResponse((response) => response.url().endsWith("/v1/jobs"));
  await focus(page, `Delete ${second}`);
  await page.keyboard.press("Enter");
  assert.deepEqual(await (await list).json(), [], "the list was read before the deletions");
  await new Promise((done) => setTimeout(done, 200));
  assert.deepEqual((await rows(page)).map(({ state }) => state), ["deleted", "deleted"]);
  await page.click("#undo-all");
  await until(page, ["deleted", "done"]);
  answer();
  await until(page, ["done", "done"]);
  refused = true;
  await focus(page, `Delete ${first}`);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("trouble").textContent === "The disk is full.");
  await until(page, ["done", "done"]);
  assert.equal(await focused(page), `Delete ${first}`);
  assert.equal(await status(`jobs/${idOf(first)}`), 200);
  page.off("request", intercept);
  await page.setRequestInterception(false);
}

export async function checkAllFinished(page) {
  const files = [3, 4, 5].map((number) => join(out, `${PATIENT}_${number}.nii.gz`));
  for (const file of files) copyFileSync(scan, file);
  await (await page.$("#file")).uploadFile(...files);
  await until(page, Array(5).fill("done"));
  await looked(page);
  const ids = Object.keys(await idsOf(page));
  assert.equal(ids.length, 5);
  await shootAll(page, "finished");
  await page.focus("#delete-finished");
  await page.keyboard.press("Enter");
  await until(page, Array(5).fill("deleted"));
  await focusOn(page, "Undo all");
  assert.equal(await page.$eval("#delete-finished", (button) => button.hidden), true);
  assert.equal(await page.$eval("#jobs-summary", (line) => line.textContent), "5 deleted");
  for (const id of ids) await gone(id);
  await page.keyboard.press("Enter");
  await until(page, Array(5).fill("done"));
  await focusOn(page, "Delete all finished");
  for (const id of ids) assert.equal(await status(`jobs/${id}/result/mask`), 200);
  assert.equal(await page.$eval("#undo-all", (button) => button.hidden), true);
  await page.keyboard.press("Enter");
  await until(page, Array(5).fill("deleted"));
  for (const number of [1, 2]) await page.click(`[aria-label="Undo ${PATIENT}_${number}.nii.gz"]`);
  await until(page, ["deleted", "deleted", "deleted", "done", "done"]);
  await shootAll(page, "some-deleted");
  await page.focus("#undo-all");
  await until(page, ["done", "done"]);
  await focusOn(page, "Delete all finished");
}
