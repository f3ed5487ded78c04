// Deletions that can be undone: node --test test/deletions.test.mjs
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Deletions } from "../src/deletions.js";
import { merged, rowsOf } from "../src/jobs.js";

globalThis.sessionStorage = { getItem: () => "a-token" };
const settled = async () => { for (let turn = 0; turn < 30; turn += 1) await Promise.resolve(); };
const job = (id) => ({ id, state: "done", created: "2026-11-28T11:57:30+00:00" });
const actions = (jobs, deleted) => rowsOf({ sends: [], jobs, deleted, names: { of: () => undefined }, details: new Map() }).map(({ id, action }) => `${action} ${id}`);
let open = [];
let over = [];
let deletions = null;

function fetched(path, { method }) {
  return new Promise((resolve) => open.push({
    what: `${method} ${path.split("/").slice(2).join("/").replace(/\?.*/, "")}`,
    answer: (status) => {
      open.shift();
      resolve(new Response(status === 204 ? null : JSON.stringify({ error: { message: "the disk is full" } }), { status }));
      return settled();
    },
  }));
}

const requests = () => open.map(({ what }) => what);

beforeEach(() => {
  [open, over] = [[], []];
  globalThis.fetch = fetched;
  deletions = new Deletions({ change: () => {}, over: (id) => over.push(id) });
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

test("a list read while the server deletes a job takes its row away neither before nor after the answer", async () => {
  const earlier = [job("a"), job("b"), job("c")];
  const deleted = deletions.add("b");
  const shown = merged(earlier, [job("a"), job("c")], deletions);
  assert.deepEqual(actions(shown, deletions), ["Delete a", "Undo b", "Delete c"]);
  await open[0].answer(204);
  await deleted;
  assert.deepEqual(actions(merged(shown, [job("a"), job("c")], deletions), deletions), ["Delete a", "Undo b", "Delete c"]);
});

test("a job that the server does not delete is as before", async () => {
  const deleted = deletions.add("b");
  const refused = assert.rejects(deleted, /the disk is full/);
  await open[0].answer(507);
  await refused;
  assert.deepEqual(actions(merged([job("b")], [job("b")], deletions), deletions), ["Delete b"]);
  mock.timers.tick(60_000);
  assert.deepEqual(over, []);
});

test("a deletion can be undone for ten seconds from the answer on", async () => {
  deletions.add("a");
  mock.timers.tick(30_000);
  await open[0].answer(204);
  mock.timers.tick(9_900);
  assert.deepEqual([over, deletions.has("a")], [[], true]);
  mock.timers.tick(200);
  assert.deepEqual([over, deletions.has("a")], [["a"], false]);
});

test("undoing waits for the answer to the deletion, and is asked for once", async () => {
  deletions.add("a");
  const restored = [deletions.restore("a"), deletions.restore("a")];
  await settled();
  assert.deepEqual(requests(), ["DELETE a"]);
  await open[0].answer(204);
  assert.deepEqual(requests(), ["POST a/restore"]);
  assert.ok(deletions.has("a"));
  await open[0].answer(200);
  await Promise.all(restored);
  mock.timers.tick(60_000);
  assert.deepEqual([deletions.has("a"), over], [false, []]);
});

test("a deletion that cannot be undone any more ends at once, another one soon", async () => {
  for (const [status, seconds] of [[404, 0], [503, 5]]) {
    over = [];
    deletions.add("a");
    await open[0].answer(204);
    const refused = assert.rejects(deletions.restore("a"));
    await settled();
    await open[0].answer(status);
    await refused;
    if (seconds > 0) mock.timers.tick(1000 * seconds - 1);
    assert.deepEqual(over, []);
    mock.timers.tick(1);
    assert.deepEqual(over, ["a"]);
  }
});

test("three are sent at a time, all count as deleted, and one that was undone before is not sent", async () => {
  for (const id of "abcde") deletions.add(id).catch(() => {});
  assert.deepEqual(requests(), ["DELETE a", "DELETE b", "DELETE c"]);
  assert.ok([..."abcde"].every((id) => deletions.has(id)));
  assert.ok(deletions.busy);
  const restored = deletions.restore("d");
  await open[0].answer(204);
  await restored;
  assert.ok(!deletions.has("d"));
  assert.deepEqual(requests(), ["DELETE b", "DELETE c", "DELETE e"]);
  for (let left = 3; left > 0; left -= 1) await open[0].answer(204);
  assert.deepEqual([requests(), deletions.busy], [[], false]);
});
