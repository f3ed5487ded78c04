// Reads a NIfTI mask, and writes it with other voxels: every byte that is not of a changed voxel stays.
import { Grid } from "./edit-grid.js";

const KINDS = { 2: "Uint8", 256: "Int8", 4: "Int16", 512: "Uint16", 8: "Int32", 768: "Uint32", 16: "Float32", 64: "Float64" };
const ARRAYS = {
  Uint8: Uint8Array, Int8: Int8Array, Int16: Int16Array, Uint16: Uint16Array,
  Int32: Int32Array, Uint32: Uint32Array, Float32: Float32Array, Float64: Float64Array,
};
const BYTES = Object.fromEntries(Object.entries(ARRAYS).map(([kind, { BYTES_PER_ELEMENT: bytes }]) => [kind, bytes]));
// Places of the fields [bytes], of which NIfTI-2 has wider ones.
const VERSIONS = {
  348: { int: 2, real: 4, dim: 40, kind: 70, pixdim: 76, offset: 108, codes: 252, code: 2, quaternion: 256, shift: 268, rows: 280 },
  540: { int: 8, real: 8, dim: 16, kind: 12, pixdim: 104, offset: 168, codes: 344, code: 4, quaternion: 352, shift: 376, rows: 400 },
};

export class MaskFile {
  #bytes;
  #view;
  #kind;
  #start;
  #littleEndian;

  // The file's bytes, not compressed.
  constructor(buffer) {
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#littleEndian = this.#view.getInt32(0, true) in VERSIONS;
    const places = VERSIONS[this.#view.getInt32(0, this.#littleEndian)];
    if (!places) throw new Error("The mask is not NIfTI.");
    const fields = new Fields(this.#view, this.#littleEndian, places);
    this.#kind = KINDS[fields.kind];
    if (!this.#kind) throw new Error("The mask has a data type that cannot be edited.");
    this.#start = fields.offset;
    this.grid = new Grid(fields.shape, fields.affine);
    if (this.#start + this.grid.count * BYTES[this.#kind] > this.#bytes.length) throw new Error("The mask is incomplete.");
  }

  // 1 where the mask has a value other than 0, in the file's own order.
  voxels() {
    const values = this.#values();
    const voxels = new Uint8Array(values.length);
    for (let index = 0; index < voxels.length; index += 1) voxels[index] = values[index] === 0 ? 0 : 1;
    return voxels;
  }

  // The bytes of the file with these voxels. New ones get the value that the lesion has in the file.
  bytesWith(voxels) {
    const values = this.#values();
    const size = BYTES[this.#kind];
    const bytes = this.#bytes.slice();
    const lesion = this.#lesion(values);
    const none = new Uint8Array(size);
    for (let index = 0; index < voxels.length; index += 1) {
      if ((values[index] === 0) === (voxels[index] === 0)) continue;
      bytes.set(voxels[index] ? lesion : none, this.#start + index * size);
    }
    return bytes;
  }

  #values() {
    const size = BYTES[this.#kind];
    const block = this.#bytes.slice(this.#start, this.#start + this.grid.count * size);
    if (!this.#littleEndian && size > 1) for (let at = 0; at < block.length; at += size) block.subarray(at, at + size).reverse();
    return new ARRAYS[this.#kind](block.buffer);
  }

  #lesion(values) {
    const size = BYTES[this.#kind];
    const index = values.findIndex((value) => value !== 0);
    if (index >= 0) return this.#bytes.slice(this.#start + index * size, this.#start + (index + 1) * size);
    const one = new DataView(new ArrayBuffer(size));
    one[`set${this.#kind}`](0, 1, this.#littleEndian);
    return new Uint8Array(one.buffer);
  }
}

class Fields {
  #view;
  #little;
  #places;

  constructor(view, little, places) {
    this.#view = view;
    this.#little = little;
    this.#places = places;
  }

  get kind() {
    return this.#view.getInt16(this.#places.kind, this.#little);
  }

  get offset() {
    return this.#places.int === 8 ? this.#whole(this.#places.offset) : this.#real(this.#places.offset, 0);
  }

  get shape() {
    const axes = [1, 2, 3].map((axis) => this.#whole(this.#places.dim + axis * this.#places.int));
    if (!axes.every((length) => length > 0)) throw new Error("The mask has no volume.");
    return axes;
  }

  // The sform takes precedence, as everywhere in insula.
  get affine() {
    const { codes, code, rows } = this.#places;
    const read = code === 4 ? "getInt32" : "getInt16";
    if (this.#view[read](codes + code, this.#little) > 0) return [0, 1, 2].map((row) => this.#reals(rows, 4, 4 * row));
    if (this.#view[read](codes, this.#little) > 0) return this.#rotated();
    throw new Error("The mask has neither sform nor qform.");
  }

  #rotated() {
    const [sign, ...mm] = this.#reals(this.#places.pixdim, 4);
    const [b, c, d] = this.#reals(this.#places.quaternion, 3);
    const a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
    const shift = this.#reals(this.#places.shift, 3);
    const rotation = [
      [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
      [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
      [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    mm[2] *= sign < 0 ? -1 : 1;
    return rotation.map((row, axis) => [...row.map((part, column) => part * mm[column]), shift[axis]]);
  }

  #whole(place) {
    return this.#places.int === 8 ? Number(this.#view.getBigInt64(place, this.#little)) : this.#view.getInt16(place, this.#little);
  }

  #real(place, at) {
    const { real } = this.#places;
    return this.#view[real === 8 ? "getFloat64" : "getFloat32"](place + at * real, this.#little);
  }

  #reals(place, count, from = 0) {
    return Array.from({ length: count }, (_, at) => this.#real(place, from + at));
  }
}

// A NIfTI file of these voxels whose only placement is the grid's affine, so that a viewer cannot choose another one.
export function picture(grid, voxels) {
  const bytes = new Uint8Array(352 + voxels.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  [3, ...grid.shape, 1, 1, 1, 1].forEach((length, at) => view.setInt16(40 + 2 * at, length, true));
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  const spacing = [0, 1, 2].map((axis) => Math.hypot(...grid.affine.map((row) => row[axis])));
  [1, ...spacing, 1, 1, 1, 1].forEach((length, at) => view.setFloat32(76 + 4 * at, length, true));
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setInt16(254, 1, true);
  grid.affine.flat().forEach((value, at) => view.setFloat32(280 + 4 * at, value, true));
  bytes.set(new TextEncoder().encode("n+1\0"), 344);
  bytes[123] = 2;
  bytes.set(voxels, 352);
  return bytes.buffer;
}
