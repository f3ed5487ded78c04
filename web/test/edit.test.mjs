// The editor's model, without a browser: node --test test/edit.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { MaskFile, picture } from "../src/edit-file.js";
import { Grid } from "../src/edit-grid.js";
import { EditedMask } from "../src/edit-mask.js";
import { ProbabilityMap } from "../src/probability.js";
import { ShownMask } from "../src/shown.js";
import { connected, dropLesions, grown, stroke } from "../src/edit-shapes.js";

const SHAPE = [13, 11, 9];
const SPACING = [1.5, 2, 2.5];
const OBLIQUE = [[0.9, -0.3, 0.32], [0.35, 0.93, -0.11], [-0.26, 0.21, 0.94]];
const STRAIGHT = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
const SIGNS = Array.from({ length: 8 }, (_, bits) => [0, 1, 2].map((axis) => ((bits >> axis) & 1 ? -1 : 1)));

// A grid whose file axis a runs along the patient's axis order[a], towards signs[a]; its middle is near the origin.
function gridOf(order, signs, turn = STRAIGHT) {
  const shape = order.map((axis) => SHAPE[axis]);
  const columns = order.map((axis, a) => turn.map((row) => row[axis] * SPACING[axis] * signs[a]));
  const shift = [0, 1, 2].map((row) => 0.3 - columns.reduce((sum, column, a) => sum + (column[row] * (shape[a] - 1)) / 2, 0));
  return new Grid(shape, [0, 1, 2].map((row) => [...columns.map((column) => column[row]), shift[row]]));
}

const grids = ORDERS.flatMap((order) => SIGNS.map((signs) => gridOf(order, signs)));
const turned = ORDERS.flatMap((order) => SIGNS.map((signs) => gridOf(order, signs, OBLIQUE)));
const places = (grid, indices) => indices.map((index) => grid.mm(grid.at(index)).map((part) => part.toFixed(4)).join()).sort();
const sorted = (indices) => [...indices].sort((a, b) => a - b);
const all = (grid) => Array.from({ length: grid.count }, (_, index) => index);
const away = (grid, index, mm) => Math.hypot(...grid.mm(grid.at(index)).map((part, axis) => part - mm[axis]));

test("there and back is the identity in all axis orders", () => {
  for (const grid of [...grids, ...turned]) {
    for (const index of all(grid)) assert.equal(grid.index(grid.voxel(grid.mm(grid.at(index)))), index);
    assert.equal(grid.index([-0.6, 0, 0]), -1);
    assert.equal(grid.index([0, 0, grid.shape[2] - 0.4]), -1);
  }
  assert.equal(grids[0].voxelMl.toFixed(6), "0.007500");
});

test("a ball holds exactly the voxels within its radius, at the same places in all axis orders", () => {
  const mm = [1.7, -2.2, 3.1];
  for (const family of [grids, turned]) {
    const wanted = places(family[0], all(family[0]).filter((index) => away(family[0], index, mm) <= 5));
    assert.ok(wanted.length > 40);
    for (const grid of family) {
      const ball = stroke(grid, mm, mm, { radiusMm: 5 });
      assert.deepEqual(sorted(ball), all(grid).filter((index) => away(grid, index, mm) <= 5));
      if (family === grids) assert.deepEqual(places(grid, ball), wanted);
    }
  }
});

test("a disc is the ball's slice through the place", () => {
  const directions = { sagittal: [1, 0, 0], coronal: [0, 1, 0], axial: [0, 0, -1] };
  for (const [turn, family] of [[STRAIGHT, grids], [OBLIQUE, turned]]) {
    for (const [at, direction] of Object.values(directions).entries()) {
      const across = turn.map((row) => direction.reduce((sum, part, axis) => sum + row[axis] * part, 0));
      for (const grid of family) {
        const axis = grid.axisAlong(across);
        assert.equal(grid.shape[axis], SHAPE[at]);
        const voxel = grid.shape.map((length) => Math.floor(length / 2));
        const mm = grid.mm(voxel);
        const disc = stroke(grid, mm, mm, { radiusMm: 4, axis });
        const wanted = all(grid).filter((index) => grid.at(index)[axis] === voxel[axis] && away(grid, index, mm) <= 4 + 1e-9);
        assert.deepEqual(sorted(disc), wanted);
      }
    }
  }
});

test("a moved brush leaves no gap, and the smallest one paints the voxel under it", () => {
  for (const grid of grids) {
    const [from, to] = [[-6, -6, 0.2], [6, 5, 0.2]];
    const whole = new Set(stroke(grid, from, to, { radiusMm: 2 }));
    for (let part = 0; part <= 1; part += 0.01) {
      const mm = from.map((value, axis) => value + part * (to[axis] - value));
      for (const index of stroke(grid, mm, mm, { radiusMm: 1.99 })) if (away(grid, index, mm) <= 1.99) assert.ok(whole.has(index));
    }
    assert.deepEqual(stroke(grid, from, from, { radiusMm: 0.1 }), [grid.index(grid.voxel(from))]);
    assert.deepEqual(stroke(grid, [999, 0, 0], [999, 0, 0], { radiusMm: 3 }), []);
  }
});

test("what is connected is found over corners, and a drop takes no more", () => {
  for (const grid of grids) {
    const voxels = new Uint8Array(grid.count);
    const at = (i, j, k) => grid.index([i, j, k]);
    const lesion = [at(1, 1, 1), at(2, 2, 2), at(3, 2, 2)];
    const other = [at(5, 5, 5), at(5, 5, 6)];
    for (const index of [...lesion, ...other]) voxels[index] = 1;
    assert.deepEqual(sorted(connected(grid, lesion[0], (index) => voxels[index] === 1)), sorted(lesion));
    assert.deepEqual(connected(grid, at(0, 0, 0), (index) => voxels[index] === 1), []);
    assert.deepEqual(connected(grid, -1, () => true), []);
    dropLesions(grid, voxels, (found) => found.length > 2);
    assert.deepEqual(all(grid).filter((index) => voxels[index]), sorted(lesion));
  }
});

test("a threshold leaves out what is small or unlikely to be real", () => {
  const grid = grids[0];
  const at = (i, j, k) => grid.index([i, j, k]);
  const sure = [at(1, 1, 1), at(2, 1, 1), at(3, 1, 1)];
  const doubtful = [at(1, 7, 1), at(2, 7, 1), at(3, 7, 1)];
  const small = [at(8, 1, 5)];
  const values = new Float32Array(grid.count);
  for (const index of [...sure, ...small]) values[index] = 0.9;
  for (const index of doubtful) values[index] = 0.6;
  const maskOf = (rule) => {
    const map = new ProbabilityMap({ values, slope: 1, intercept: 0 }, { brain: null, grid, rule });
    return sorted([...map.maskAt(0.5)].flatMap((voxel, index) => (voxel ? [index] : [])));
  };
  assert.deepEqual(maskOf({}), sorted([...sure, ...doubtful, ...small]));
  const smallest = { min_lesion_ml: 2.5 * grid.voxelMl };
  assert.deepEqual(maskOf(smallest), sorted([...sure, ...doubtful]));
  // Of three voxels: 1 / (1 + exp(-(logit - 1))), 0.77 at a probability of 0.9 and 0.36 at one of 0.6.
  const coefficients = [-1, 1, 0];
  assert.deepEqual(maskOf({ ...smallest, least_chance: 0.5, lesion_chance: coefficients }), sorted(sure));
  assert.deepEqual(maskOf({ ...smallest, least_chance: 0.3, lesion_chance: coefficients }), sorted([...sure, ...doubtful]));
  assert.deepEqual(maskOf({ ...smallest, least_chance: 0.5, lesion_chance: null }), sorted([...sure, ...doubtful]));
  const strict = { ...smallest, least_chance: 0.5, lesion_chance: coefficients };
  assert.deepEqual(maskOf({ ...strict, always_kept_ml: 3 * grid.voxelMl }), sorted([...sure, ...doubtful]));
  assert.deepEqual(maskOf({ ...strict, always_kept_ml: 4 * grid.voxelMl }), sorted(sure));
});

test("growing stays at the threshold, connected, and within the distance", () => {
  for (const grid of grids) {
    const probability = all(grid).map((index) => 1 - away(grid, index, [0.3, 0.3, 0.3]) / 20);
    const inside = (index) => probability[index] >= 0.6;
    const [whole, near] = [100, 5].map((mm) => grown(grid, [0.3, 0.3, 0.3], inside, mm));
    assert.deepEqual(sorted(whole), all(grid).filter(inside));
    assert.deepEqual(sorted(near), all(grid).filter((index) => inside(index) && away(grid, index, [0.3, 0.3, 0.3]) <= 5));
    assert.deepEqual(grown(grid, grid.mm([0, 0, 0]), inside, 100), []);
  }
});

test("undo restores all, redo repeats all, and memory is bounded", () => {
  const grid = grids[17];
  const start = Uint8Array.from({ length: grid.count }, (_, index) => Number(index % 7 === 0));
  const mask = new EditedMask(start.slice());
  const sum = () => mask.voxels.reduce((total, value) => total + value, 0);
  const states = [];
  for (let step = 0; step < 20; step += 1) {
    mask.begin();
    for (let part = 0; part < 3; part += 1) mask.set(stroke(grid, [step - 9, part, 0], [step - 6, 0, part], { radiusMm: 3 }), step % 3 ? 1 : 0);
    if (mask.end()) states.push(mask.voxels.slice());
    assert.equal(mask.count, sum());
    assert.equal(mask.changed, mask.voxels.filter((value, index) => value !== start[index]).length);
  }
  assert.ok(states.length > 10);
  while (mask.canUndo) mask.undo();
  assert.deepEqual(mask.voxels, start);
  assert.equal(mask.changed, 0);
  for (const state of states) {
    assert.ok(mask.redo());
    assert.deepEqual(mask.voxels, state);
  }
  assert.equal(mask.redo(), false);
  assert.ok(mask.revert());
  assert.deepEqual(mask.voxels, start);
  mask.undo();
  assert.deepEqual(mask.voxels, states.at(-1));
  assert.equal(mask.revert() && mask.revert(), false);
  mask.undo();
  mask.begin();
  assert.equal(mask.end(), false);
  assert.ok(mask.canRedo, "an empty step does not forget what was undone");

  const bounded = new EditedMask(new Uint8Array(100), 25);
  for (let step = 0; step < 10; step += 1) {
    bounded.begin();
    bounded.set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((index) => index + 10 * step), 1);
    bounded.end();
  }
  let undone = 0;
  while (bounded.undo()) undone += 1;
  assert.equal(undone, 2);
});

test("a saved mask is counted from what was sent", () => {
  const mask = new EditedMask(new Uint8Array(10));
  mask.begin();
  mask.set([1, 2], 1);
  mask.end();
  const sent = mask.voxels.slice();
  mask.begin();
  mask.set([3], 1);
  mask.end();
  mask.settle(sent);
  assert.equal(mask.changed, 1);
  mask.undo();
  assert.equal(mask.changed, 0);
  mask.undo();
  assert.equal(mask.changed, 2);
});

// A NIfTI-1 file with unusual contents in every field that a program might overwrite.
function file(grid, { kind = 2, bits = 8, little = true, write = "setUint8", sform = 2, lesion = 1, extension = 16 } = {}) {
  const start = 352 + extension;
  const bytes = Uint8Array.from({ length: start + (grid.count * bits) / 8 }, (_, at) => (at < start ? (at * 7) % 251 : 0));
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, little);
  [3, ...grid.shape, 1, 1, 1, 1].forEach((length, at) => view.setInt16(40 + 2 * at, length, little));
  view.setInt16(70, kind, little);
  view.setFloat32(108, start, little);
  view.setInt16(252, 1, little);
  view.setInt16(254, sform, little);
  grid.affine.flat().forEach((value, at) => view.setFloat32(280 + 4 * at, value, little));
  for (let index = 0; index < grid.count; index += 5) view[write](start + (index * bits) / 8, lesion, little);
  return { buffer: bytes.buffer, start, size: bits / 8 };
}

test("only the bytes of changed voxels change in a file", () => {
  const kinds = [
    { kind: 2, bits: 8, write: "setUint8" }, { kind: 4, bits: 16, write: "setInt16", lesion: 300 },
    { kind: 512, bits: 16, write: "setUint16", little: false, lesion: 7 }, { kind: 16, bits: 32, write: "setFloat32", lesion: 1 },
  ];
  for (const options of kinds) {
    for (const grid of [grids[0], grids[29], turned[40]]) {
      const { buffer, start, size } = file(grid, options);
      const mask = new MaskFile(buffer);
      assert.ok(mask.grid.equals(grid));
      const voxels = mask.voxels();
      assert.deepEqual([...voxels], all(grid).map((index) => Number(index % 5 === 0)));
      assert.deepEqual(mask.bytesWith(voxels), new Uint8Array(buffer));
      const changed = stroke(grid, [0, 0, 0], [0, 0, 0], { radiusMm: 4 });
      for (const index of changed) voxels[index] = 1 - voxels[index];
      const bytes = mask.bytesWith(voxels);
      assert.deepEqual(bytes.slice(0, start), new Uint8Array(buffer, 0, start));
      const others = all(grid).filter((index) => !changed.includes(index));
      for (const index of others) assert.deepEqual(bytes.slice(start + index * size, start + (index + 1) * size), new Uint8Array(buffer, start + index * size, size));
      assert.deepEqual(new MaskFile(bytes.buffer).voxels(), voxels);
      const [lesion] = [0].map((index) => bytes.slice(start + index * size, start + (index + 1) * size));
      for (const index of changed) if (voxels[index]) assert.deepEqual(bytes.slice(start + index * size, start + (index + 1) * size), lesion);
    }
  }
});

test("undo brings back the threshold of the mask that it brings back", async () => {
  const grid = grids[0];
  const plain = ({ buffer }) => {
    const view = new DataView(buffer);
    view.setFloat32(112, 1, true);
    view.setFloat32(116, 0, true);
    view.setInt8(123, 10);
    new Uint8Array(buffer).set([0x6e, 0x2b, 0x31, 0, 0, 0, 0, 0], 344);
    return new Blob([buffer]);
  };
  const prob = plain(file(grid, { kind: 16, bits: 32, write: "setFloat32", lesion: 0.4 }));
  const open = () => ShownMask.open({ mask: plain(file(grid, { lesion: 0 })), prob, brain: null, record: { threshold: 0.5 } });
  const paint = (shown) => {
    shown.beginStroke();
    shown.brush([0, 0, 0], [0, 0, 0], { radiusMm: 3, value: 1 });
    assert.ok(shown.endStroke());
  };

  const first = await open();
  paint(first);
  first.show(0.3);
  first.undo();
  assert.equal(first.threshold, null);
  assert.equal(first.suffix, "_mask.nii.gz");
  assert.ok(first.isOwn);

  const second = await open();
  second.show(0.3);
  const at = [...second.voxels];
  assert.ok(at.includes(1));
  paint(second);
  second.show(null);
  second.undo();
  assert.deepEqual([...second.voxels], at);
  assert.equal(second.suffix, "_threshold-0.30_mask.nii.gz");
  assert.ok(!second.isOwn);
});

test("the qform places a mask without an sform, and a mask without either is refused", () => {
  const { buffer } = file(grids[0], { sform: 0 });
  const view = new DataView(buffer);
  [-1, 1.5, 2, 2.5].forEach((value, at) => view.setFloat32(76 + 4 * at, value, true));
  const half = Math.sqrt(0.5);
  [0, 0, half].forEach((value, at) => view.setFloat32(256 + 4 * at, value, true)); // a quarter turn about the axis to superior
  [10, 20, 30].forEach((value, at) => view.setFloat32(268 + 4 * at, value, true));
  const mm = new MaskFile(buffer).grid.mm([1, 2, 3]);
  [10 - 4, 20 + 1.5, 30 - 7.5].forEach((value, axis) => assert.ok(Math.abs(mm[axis] - value) < 1e-5, mm.join()));
  view.setInt16(252, 0, true);
  assert.throws(() => new MaskFile(buffer), /neither sform nor qform/);
  assert.throws(() => new MaskFile(new ArrayBuffer(400)), /not NIfTI/);
  assert.throws(() => new MaskFile(file(grids[0]).buffer.slice(0, 900)), /incomplete/);
});

test("a viewer's picture lies where the mask lies", () => {
  for (const grid of [grids[3], turned[12]]) {
    const voxels = Uint8Array.from({ length: grid.count }, (_, index) => Number(index % 3 === 0));
    const read = new MaskFile(picture(grid, voxels));
    assert.ok(read.grid.equals(grid));
    assert.deepEqual(read.voxels(), voxels);
  }
});
