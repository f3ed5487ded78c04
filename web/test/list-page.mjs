// The page's list of jobs in Chromium, for scripts that are run with URL TOKEN SCAN_FILE OUT_FOLDER.
import assert from "node:assert/strict";
import { join } from "node:path";

export const [url, token, scan, out] = process.argv.slice(2);
export const origin = new URL(url).origin;
export const RESULT_MS = Number(process.env.RESULT_MS ?? 120_000);
export const PATIENT = "Doe^Jane";
export const FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"];

export async function openPage(browser) {
  const page = await (await browser.createBrowserContext()).newPage();
  const seen = { faults: [], posts: [] };
  page.on("console", (message) => { if (message.type() === "error" && !/status of (4\d\d|50[37])/.test(message.text())) seen.faults.push(message.text()); });
  page.on("pageerror", (error) => seen.faults.push(error.message));
  page.on("request", (request) => { if (request.url().endsWith("/segment")) seen.posts.push(JSON.stringify([request.url(), request.headers()])); });
  await page.evaluateOnNewDocument(countUploads);
  await page.setViewport({ width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await page.goto(`${url}#token=${token}`);
  await page.waitForSelector("#intake", { visible: true }).catch((error) => { throw new Error(`${error.message} ${seen.faults}`); });
  return { page, seen };
}

// Runs in the page: the browser's own events for requests arrive too late to tell how many are open.
function countUploads() {
  const { open } = XMLHttpRequest.prototype;
  const uploads = new Set();
  window.mostUploads = 0;
  XMLHttpRequest.prototype.open = function (...parts) {
    uploads.add(this);
    window.mostUploads = Math.max(window.mostUploads, uploads.size);
    this.addEventListener("load", () => uploads.delete(this));
    open.apply(this, parts);
  };
}

export const status = async (path) => (await fetch(`${origin}/v1/${path}`, { headers: { Authorization: `Bearer ${token}` } })).status;
export const gone = async (id) => { for (const end = Date.now() + 5000; (await status(`jobs/${id}`)) !== 404;) assert(Date.now() < end, `${id} is still there`); };
export const rows = (page) => page.$$eval("#jobs-list li", (items) => items.map((item) => ({
  state: item.dataset.state,
  name: item.querySelector(".name").textContent,
  text: item.querySelector(".text").textContent,
  drawn: item.querySelector("img").naturalWidth,
})));
export const until = (page, wanted) => page.waitForFunction((expected) => JSON.stringify([...document.querySelectorAll("#jobs-list li")].map((item) => item.dataset.state).sort()) === expected, { timeout: RESULT_MS }, JSON.stringify(wanted));
export const looked = (page) => page.waitForFunction(() => [...document.querySelectorAll('[data-state="done"] img')].every((image) => image.naturalWidth > 0), { timeout: RESULT_MS });
export const focused = (page) => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);
export const focusOn = (page, label) => page.waitForFunction((wanted) => [document.activeElement.getAttribute("aria-label"), document.activeElement.textContent].includes(wanted), {}, label);
export const idsOf = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("insula.names")));
export const focus = (page, label) => page.focus(`#jobs-list [aria-label="${label}"]`);

export async function shootAll(page, name) {
  for (const width of [1280, 360]) {
    await page.setViewport({ width, height: width === 360 ? 740 : 900 });
    for (const value of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
      await new Promise((done) => setTimeout(done, 300));
      await page.screenshot({ path: join(out, `${name}-${width}-${value}.png`), fullPage: true });
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `the page of ${width} px is ${overflow} px too wide`);
  }
  await page.setViewport({ width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
}
