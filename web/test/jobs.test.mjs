// The rows of the list of jobs: node --test test/jobs.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { deletedOf, finishedOf, merged, rowsOf, summary, unsavedOf } from "../src/jobs.js";

const NOW = Date.parse("2026-11-28T12:00:00+00:00");
const job = (id, more = {}) => ({ id, state: "done", step: "done", progress: 1, ahead: 0, created: "2026-11-28T11:57:30+00:00", ...more });
const send = (key, state, more = {}) => ({ key, name: `${key}.nii`, state, id: null, ...more });
const rows = ({ sends = [], jobs = [], deleted = [], names = {}, details = [] }) =>
  rowsOf({ sends, jobs, deleted: new Map(deleted.map((id) => [id, 0])), names: { of: (id) => names[id] }, details: new Map(details) }, NOW);
const ids = (jobs) => jobs.map(({ id }) => id).join("");

test("scans not sent yet are above the jobs, the first one to be sent next to them", () => {
  const all = rows({ sends: [send("a", "sending", { progress: 0.5 }), send("b", "waiting")], jobs: [job("c"), job("d")] });
  assert.deepEqual(all.map(({ key }) => key), ["b", "a", "c", "d"]);
  assert.deepEqual(all.map(({ progress }) => progress), [undefined, 0.5, undefined, undefined]);
});

test("a scan keeps its row's key when it becomes a job", () => {
  const [row, ...others] = rows({ sends: [send("send-1", "sent", { id: "c" })], jobs: [job("c")], names: { c: "x.nii" } });
  assert.deepEqual([row.key, row.id, row.name, others.length], ["send-1", "c", "x.nii", 0]);
});

test("each state has its text and its action", () => {
  const cases = [
    [{ sends: [send("a", "busy", { message: "The server is busy.", seconds: 7 })] }, "The server is busy. Trying again in 7 s.", "Cancel"],
    [{ sends: [send("a", "refused", { message: "the upload is empty; send it" })] }, "The upload is empty; send it.", "Remove"],
    [{ jobs: [job("a", { state: "queued", step: "waiting", ahead: 1 })] }, "Waiting in the queue, 1 scan ahead", "Cancel"],
    [{ jobs: [job("a", { state: "running", step: "segmenting" })] }, "Segmenting", "Cancel"],
    [{ jobs: [job("a", { state: "refused", error: { message: "the file is cut" } })] }, "The file is cut.", "Delete"],
    [{ jobs: [job("a")] }, "Done", "Delete"],
    [{ jobs: [job("a")], details: [["a", {}]] }, "Done", "Delete"],
    [{ jobs: [job("a")], details: [["a", { record: { volume_ml: 3.456, lesion_count: 2 } }]] }, "3.46 ml in 2 lesions", "Delete"],
    [{ jobs: [job("a")], details: [["a", { record: { volume_ml: 0, lesion_count: 0 } }]] }, "No lesion", "Delete"],
    [{ jobs: [job("a")], deleted: ["a"] }, "Deleted", "Undo"],
  ];
  for (const [state, text, action] of cases) {
    const [row] = rows(state);
    assert.deepEqual([row.text, row.action], [text, action]);
  }
});

test("only a finished job that is not deleted can be opened", () => {
  const states = { done: true, queued: undefined, running: undefined };
  for (const [state, opens] of Object.entries(states)) assert.equal(rows({ jobs: [job("a", { state })] })[0].opens, opens);
  assert.equal(rows({ jobs: [job("a")], deleted: ["a"] })[0].opens, undefined);
});

test("ages are rounded down, and a server whose clock is ahead does no harm", () => {
  const age = (created) => rows({ jobs: [job("a", { created })] })[0].age;
  assert.equal(age("2026-11-28T11:57:30+00:00"), "2 min ago");
  assert.equal(age("2026-11-28T09:01:00+00:00"), "2 h ago");
  assert.equal(age("2026-11-25T11:00:00+00:00"), "3 d ago");
  assert.equal(age("2026-11-28T12:05:00+00:00"), "just now");
});

test("a deleted job keeps its place while it can be restored", () => {
  const earlier = [job("a"), job("b"), job("c")];
  for (const id of "abc") {
    const latest = earlier.filter((other) => other.id !== id);
    assert.equal(ids(merged(earlier, latest, new Map([[id, 0]]))), "abc");
  }
  assert.equal(ids(merged(earlier, [], new Map([["a", 0], ["b", 0], ["c", 0]]))), "abc");
  assert.equal(ids(merged(earlier, [job("n"), job("a"), job("c")], new Map([["b", 0]]))), "nabc");
  assert.equal(ids(merged(earlier, earlier, new Map([["b", 0]]))), "abc", "a list from before the deletion");
  assert.equal(ids(merged(earlier, [job("c")], new Map())), "c");
});

test("the summary counts every row once", () => {
  const all = rows({ sends: [send("a", "waiting")], jobs: [job("b"), job("c", { state: "failed", error: { message: "x" } }), job("d")], deleted: ["d"] });
  assert.equal(summary(all), "1 done, 1 not segmented, 1 deleted, 1 in progress");
  assert.equal(summary([]), "");
});

test("finished are the jobs that ended and are not deleted; a scan that was not taken is none", () => {
  const over = [job("c"), job("d", { state: "failed", error: { message: "x" } }), job("e", { state: "refused", error: { message: "x" } })];
  const all = rows({ sends: [send("a", "refused", { message: "x" })], jobs: [job("b", { state: "running" }), ...over, job("f")], deleted: ["f"] });
  assert.equal(ids(finishedOf(all)), "cde");
  assert.equal(ids(deletedOf(all)), "f");
});

test("a job with an unsaved mask is not deleted with the others, which the summary says", () => {
  const all = rowsOf({ sends: [], jobs: [job("a"), job("b"), job("c")], deleted: new Map(), names: { of: () => "x" }, details: new Map(), isUnsaved: (id) => id === "b" });
  assert.deepEqual([ids(finishedOf(all)), ids(unsavedOf(all))], ["ac", "b"]);
  assert.equal(summary(all, 1), "3 done; 1 with an unsaved mask was left");
  assert.equal(summary(all, 2), "3 done; 2 with an unsaved mask were left");
});
