// How scans are sent: node --test test/run.test.mjs
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Sender } from "../src/run.js";

globalThis.sessionStorage = { getItem: () => "a-token" };
const settled = async () => { for (let turn = 0; turn < 20; turn += 1) await Promise.resolve(); };
const scans = (...names) => names.map((name) => ({ name, files: [name] }));
const states = (sender) => sender.sends.map(({ state }) => state);
let open = [];

class Request {
  upload = {};
  headers = {};
  open() { open.push(this); }
  setRequestHeader(name, value) { this.headers[name] = value; }
  getResponseHeader() { return "2"; }
  send(body) { this.body = body; }
  abort() { this.onabort(); }
  answer(status, body) {
    open = open.filter((other) => other !== this);
    Object.assign(this, { status, responseText: JSON.stringify(body) });
    this.onload();
    return settled();
  }
  lose() {
    open = open.filter((other) => other !== this);
    this.onerror();
    return settled();
  }
}

function sending(...names) {
  const sent = [];
  const denied = [];
  const sender = new Sender({ change: () => {}, sent: (job, name) => sent.push([job.id, name]), denied: (error) => denied.push(error.status) });
  sender.add(scans(...names));
  return { sender, sent, denied };
}

beforeEach(() => {
  open = [];
  globalThis.XMLHttpRequest = Request;
});

test("two are sent at a time, in order, and a refused one does not stop the others", async () => {
  const { sender, sent } = sending("a", "b", "c", "d");
  await settled();
  assert.deepEqual(open.map(({ body }) => body), ["a", "b"]);
  await open[0].answer(415, { error: { message: "the upload is neither NIfTI nor DICOM" } });
  assert.deepEqual(open.map(({ body }) => body), ["b", "c"]);
  await open[1].answer(202, { id: "3" });
  await open[0].answer(202, { id: "2" });
  await open[0].answer(202, { id: "4" });
  assert.deepEqual(sent, [["3", "c"], ["2", "b"], ["4", "d"]]);
  assert.deepEqual(states(sender), ["refused", "sent", "sent", "sent"]);
  assert.equal(sender.sends[0].message, "the upload is neither NIfTI nor DICOM");
  assert.equal(sender.busy, false);
});

test("a scan is sent again under the same key when the server is busy or was lost", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { sender, sent } = sending("a");
  await settled();
  const key = open[0].headers["Idempotency-Key"];
  assert.match(key, /^[0-9a-f]{32}$/);
  await open[0].answer(503, { error: { message: "the queue is full" } });
  assert.deepEqual([states(sender)[0], sender.sends[0].seconds, open.length], ["busy", 2, 0]);
  for (let second = 0; second < 2; second += 1) {
    mock.timers.tick(1000);
    await settled();
  }
  await open[0].lose();
  assert.equal(sender.sends[0].message, "The server cannot be reached.");
  for (let second = 0; second < 5; second += 1) {
    mock.timers.tick(1000);
    await settled();
  }
  assert.equal(open[0].headers["Idempotency-Key"], key);
  await open[0].answer(202, { id: "1" });
  assert.deepEqual(sent, [["1", "a"]]);
  mock.timers.reset();
});

test("a scan that is lost again and again is given up", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { sender } = sending("a");
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await settled();
    assert.equal(open.length, 1);
    await open[0].lose();
    for (let second = 0; second < 5; second += 1) {
      mock.timers.tick(1000);
      await settled();
    }
  }
  assert.deepEqual([states(sender)[0], open.length], ["refused", 0]);
  mock.timers.reset();
});

test("a refused token stops the sending until there is another one", async () => {
  const { sender, sent, denied } = sending("a", "b", "c");
  await settled();
  await open[0].answer(401, {});
  assert.deepEqual([denied, states(sender)], [[401], ["waiting", "sending", "waiting"]]);
  await open[0].answer(202, { id: "2" });
  assert.equal(open.length, 0);
  sender.resume();
  await settled();
  assert.deepEqual(open.map(({ body }) => body), ["a", "c"]);
  await open[0].answer(202, { id: "1" });
  await open[0].answer(202, { id: "3" });
  assert.deepEqual(sent.map(([, name]) => name), ["b", "a", "c"]);
});

test("a cancelled scan is sent no further, and makes room for the next", async () => {
  const { sender } = sending("a", "b", "c");
  await settled();
  sender.remove(sender.sends[0].key);
  open = open.slice(1);
  await settled();
  assert.deepEqual(sender.sends.map(({ name }) => name), ["b", "c"]);
  assert.deepEqual(open.map(({ body }) => body), ["b", "c"]);
  assert.equal(sender.busy, true);
});
