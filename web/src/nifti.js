// Reads and compresses NIfTI files; those of the server are on the scan's own grid.
import { readHeader, readImage } from "nifti-reader-js";

const ARRAYS = { 2: Uint8Array, 4: Int16Array, 8: Int32Array, 16: Float32Array, 64: Float64Array, 512: Uint16Array };

export async function unzipped(blob) {
  const magic = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return blob.arrayBuffer();
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export async function zipped(bytes) {
  return new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

export function read(buffer) {
  const header = readHeader(buffer);
  const values = new ARRAYS[header.datatypeCode](readImage(header, buffer));
  return { values, slope: header.scl_slope || 1, intercept: header.scl_inter || 0 };
}
