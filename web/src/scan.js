// Makes one upload of the chosen files: a single file as it is, DICOM files as a zip with numbered names.
import { Zip, ZipPassThrough } from "fflate";

const WHOLE = /\.(((nii|tar)(\.(gz|bz2|xz))?)|tgz|tbz2?|txz|zip|hdr|img)$/i;

export async function bodyOf(files) {
  const visible = files.filter((file) => !file.name.startsWith("."));
  if (visible.length === 0) throw new Error("The selection contains no files.");
  if (visible.length === 1) return visible[0];
  if (visible.some((file) => WHOLE.test(file.name))) {
    throw new Error("Choose one scan at a time: one NIfTI file, one .zip or .tar file, or the DICOM files of one scan.");
  }
  return zipOf(visible);
}

async function zipOf(files) {
  const parts = [];
  const zip = new Zip((error, part) => {
    if (error) throw error;
    parts.push(part);
  });
  for (const [index, file] of files.entries()) {
    const entry = new ZipPassThrough(`${String(index + 1).padStart(6, "0")}.dcm`);
    entry.mtime = new Date(1980, 0, 1);
    zip.add(entry);
    entry.push(new Uint8Array(await file.arrayBuffer()), true);
  }
  zip.end();
  return new Blob(parts);
}

// The entries must be taken before the first await: the browser empties the transfer once the event is over.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  return (await Promise.all((await entriesIn(entry)).map(filesIn))).flat();
}

async function entriesIn(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return all;
    all.push(...batch);
  }
}
