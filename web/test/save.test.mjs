// Saving edited masks, with a page that holds only what is looked up: node --test test/save.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";

test("one save of a mask at a time, and one that fails says so and leaves the page of another case alone", async () => {
  const elements = {};
  const find = (id) => (elements[id] ??= { hidden: false, replaceChildren: (...shown) => (find(id).shown = shown), scrollIntoView: () => {} });
  const made = () => ({ append: () => {} });
  Object.assign(globalThis, { document: { getElementById: find, createElement: made }, addEventListener: () => {} });
  const { draftOf, isUnsaved, listenToSaving, offerSaving, refreshSaving, stopSaving } = await import("../src/edit-save.js");
  const saved = [];
  listenToSaving({ saved: (key) => saved.push(key), denied: () => {} });
  const open = (key, later) => {
    const shown = later?.shown ?? { edited: true, unsaved: true, isOwn: false, voxels: new Uint8Array(1), file: async () => null, settle: () => {} };
    const result = { shown, saved: [], answer: null, done: null };
    const save = () => new Promise((resolve, reject) => Object.assign(result.answer = {}, { resolve, reject }));
    stopSaving();
    offerSaving({ key, name: key, shown, save }, (record) => {
      result.saved.push(record);
      refreshSaving(shown);
    });
    refreshSaving(shown);
    return result;
  };
  const press = async (of) => {
    of.done = find("save").onclick();
    await new Promise((done) => setTimeout(done, 0));
  };

  const first = open("first");
  await press(first);
  refreshSaving(first.shown); // as after a stroke
  assert.ok(find("save").disabled);
  const second = open("second");
  assert.ok(!find("save").disabled);
  await press(second);
  const again = open("first", first);
  assert.ok(find("save").disabled, "the first is still being sent");
  second.answer.reject(Object.assign(new Error("no"), { status: 404 }));
  await second.done;
  assert.deepEqual([find("save").hidden, find("trouble").shown.length], [false, 1]);
  assert.ok(find("save").disabled, "the end of another save changes nothing");
  first.answer.resolve({ volume_ml: 1 });
  await first.done;
  assert.deepEqual([first.saved.length, again.saved.length, saved], [0, 1, ["first"]]);

  const third = open("third");
  await press(third);
  third.answer.reject(Object.assign(new Error("no"), { status: 409 }));
  await third.done;
  assert.equal(find("trouble").shown.length, 1);
  assert.ok(!find("save").disabled);

  const atThreshold = { edited: false, unsaved: false, isOwn: false, voxels: new Uint8Array(1), file: async () => null, settle: () => {} };
  const fourth = open("fourth", { shown: atThreshold });
  await press(fourth);
  stopSaving();
  assert.deepEqual([draftOf("fourth"), isUnsaved("fourth")], [atThreshold, true], "a mask that is being sent is kept");
  fourth.answer.resolve({ volume_ml: 1 });
  await fourth.done;
  assert.ok(!isUnsaved("fourth"));
  stopSaving();
  assert.equal(draftOf("fourth"), undefined);
});
