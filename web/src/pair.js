// Joins the two files of a NIfTI-1 pair into one .nii, since an upload is a single file.
import { unzipped } from "./nifti.js";

const HEADER_BYTES = 348;
const VOXELS_AT = 352;
const OFFSET_AT = 108;
const MAGIC = { at: 344, pair: "ni1\0", single: "n+1\0" };

export async function joined(header, image) {
  const [head, voxels] = await Promise.all([unzipped(header), unzipped(image)]);
  const magic = new TextDecoder("latin1").decode(head.slice(MAGIC.at, MAGIC.at + 4));
  if (magic !== MAGIC.pair) throw new Error("The .hdr file is not the header of a NIfTI-1 pair.");
  const start = new Uint8Array(VOXELS_AT); // its last four bytes say that no extension follows
  start.set(new Uint8Array(head, 0, HEADER_BYTES));
  start.set(new TextEncoder().encode(MAGIC.single), MAGIC.at);
  const view = new DataView(start.buffer);
  const littleEndian = view.getInt32(0, true) === HEADER_BYTES;
  const skipped = view.getFloat32(OFFSET_AT, littleEndian);
  view.setFloat32(OFFSET_AT, VOXELS_AT, littleEndian);
  return new Blob([start, voxels.slice(skipped)]);
}
