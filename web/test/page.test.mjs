// The page with the masks of jobs, in a document without a browser: node --test test/page.test.mjs
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { openDocument, until } from "./document.mjs";
import { ID, Service, shaOf } from "./service.mjs";

const NAME = `Scan ${ID.slice(0, 8)}`;
const find = openDocument();
let service = new Service();
await import("../src/page.js");

const said = () => find("trouble").textContent;
const rowOf = (id = ID) => find("jobs-list").children.find(({ dataset }) => dataset.key === id);
const part = (row, name) => row.children[1].children[{ name: 0, text: 1 }[name]];
const text = (id) => part(rowOf(id), "text").textContent;
const isListed = () => !find("intake").hidden && rowOf()?.dataset.state === "done" && /^\d+\.00 ml in 1 lesion$/.test(text());

function enter(token) {
  find("token").value = token;
  find("access").querySelector("form").dispatchEvent(new Event("submit", { cancelable: true }));
}

async function open(id = ID) {
  await until(() => rowOf(id) && !part(rowOf(id), "name").disabled);
  part(rowOf(id), "name").onclick();
  await until(() => !find("result").hidden && find("save").onclick && find("viewer-note").textContent.startsWith("This browser"));
}

// As the slider does.
function choose(threshold) {
  find("slider").value = threshold;
  find("slider").oninput();
  assert.equal(find("save").disabled, false);
}

async function leave() {
  find("back").onclick();
  await until(() => !find("intake").hidden);
}

// Returns what lets the service answer: to masks that are `held`, or about jobs, `late`.
function hold(what) {
  let release;
  service[what] = new Promise((done) => { release = done; });
  return release;
}

beforeEach(async () => {
  service = new Service();
  enter(service.token);
  await until(isListed);
});

test("a token with a typographic character is called that, and not a server that cannot be reached", async () => {
  service.token = "token-2";
  enter("token-1");
  await until(() => !find("access").hidden && said() === "The server does not accept this token.");
  enter("the ward’s token");
  await until(() => said() !== "");
  assert.match(said(), /^The token contains a character that no token has;/);
  assert.ok(!find("access").hidden);
  enter("token-2");
  await until(isListed);
  assert.equal(said(), "");
});

test("a mask that is not taken after one has left stays, and the list says so whatever the reason", async () => {
  const reasons = [[507, "the disk is full"], [409, "the folder is being written"], [422, "the grid is another"], [412, "the mask was changed"], [404, "the job is gone"]];
  for (const [status, message] of reasons) {
    service.refusals = [[status, message]];
    const release = hold("held");
    await open();
    choose(0.25);
    find("save").onclick();
    await leave();
    assert.equal(said(), "");
    release();
    await until(() => said() !== "");
    assert.equal(said(), `The mask of ${NAME} was not saved: ${message}.`);
    await open();
    assert.deepEqual([find("threshold-value").textContent, find("save").disabled, find("save").hidden], ["0.25", false, false]);
    assert.match(find("threshold-volume").textContent, /^0\.05 ml/);
    find("own").onclick();
    await leave();
  }
  assert.equal(service.saved, 0);
});

test("a mask that is taken after one has left renews its row, also while the row is looked up", async () => {
  service.saved = 20;
  const release = hold("held");
  await open();
  choose(0.25);
  find("save").onclick();
  await until(() => service.puts.length === 1);
  const answer = hold("late");
  const before = service.looks;
  await leave();
  await until(() => service.looks === before + 1);
  service.late = null;
  release();
  await until(() => text() === "22.00 ml in 1 lesion");
  answer();
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(text(), "22.00 ml in 1 lesion");
});

test("the service is told which mask was edited, also when another one was saved since", async () => {
  await open();
  choose(0.25);
  service.refusals = [[503, "the server is busy"]];
  find("save").onclick();
  await until(() => said() === `The mask of ${NAME} was not saved: the server is busy.`);
  await leave();
  service.saved = 7; // in another tab
  await open();
  find("save").onclick();
  await until(() => said().includes("was changed since it was loaded"));
  assert.deepEqual(service.puts.map(({ match }) => match), [`"${shaOf(0)}"`, `"${shaOf(0)}"`]);
  assert.match(said(), /^The mask of .* was not saved: .* reload the page\.$/);
  find("own").onclick();
  await leave();
  await open();
  for (const [number, threshold] of [[7, 0.25], [8, 0.75]]) {
    choose(threshold);
    find("save").onclick();
    await until(() => service.saved === number + 1 && find("save").disabled);
    assert.equal(service.puts.at(-1).match, `"${shaOf(number)}"`);
  }
  await leave();
});

test("a refused token asks for another one, with which the mask is saved", async () => {
  await open();
  choose(0.25);
  service.token = "token-2"; // the service was started again
  find("save").onclick();
  await until(() => !find("access").hidden);
  assert.equal(said(), `The mask of ${NAME} was not saved: the server does not accept this token; enter another one, then save the mask again.`);
  enter("token-2");
  await until(() => find("access").hidden && find("threshold-value").textContent === "0.25");
  await until(() => !find("save").disabled && find("viewer-note").textContent.startsWith("This browser"));
  find("save").onclick();
  await until(() => service.saved === 1 && find("save").disabled);
  await leave();
});

test("all finished are deleted but those with an unsaved mask, which the list says", async () => {
  const others = ["a", "b", "c"].map((letter) => letter.repeat(16));
  service.jobs = [ID, ...others];
  enter(service.token);
  await until(() => others.every(rowOf));
  service.refusals = [[507, "the disk is full"]];
  await open();
  choose(0.25);
  find("save").onclick();
  await until(() => said() !== "");
  await leave();
  assert.equal(find("jobs-summary").textContent, "4 done");
  find("delete-finished").onclick();
  await until(() => rowOf("a".repeat(16)).dataset.state === "deleted");
  assert.equal(find("jobs-summary").textContent, "1 done, 3 deleted; 1 with an unsaved mask was left");
  await until(() => service.requests.filter(({ method }) => method === "DELETE").length === 3);
  assert.equal(rowOf().dataset.state, "done");
  assert.ok(!service.requests.some(({ method, path }) => method === "DELETE" && path.includes(ID)));
  await open();
  assert.equal(find("threshold-value").textContent, "0.25");
  find("own").onclick();
  await leave();
});
