// Sorts chosen files into scans, and makes one upload of each: a file as it is, DICOM as a zip with numbered names.
import { Zip, ZipPassThrough } from "fflate";
import { joined } from "./pair.js";

const WHOLE = /\.(((nii|tar)(\.(gz|bz2|xz))?)|tgz|tbz2?|txz|zip)$/i;
const PAIR = /\.(hdr|img)(\.gz)?$/i;
const HIDDEN = /(^|\/)(\.|__MACOSX\/)/;
const HEAD_BYTES = 1 << 16;

// Takes [{ file, path }] and returns [{ name, files }]. The DICOM files of one study are one scan.
export async function scansOf(chosen) {
  const visible = chosen.filter(({ path }) => !HIDDEN.test(path));
  const halves = new Set(visible.filter(({ path }) => PAIR.test(path)).map(({ path }) => path.replace(PAIR, (_, half) => `.${half.toLowerCase()}`)));
  const isPaired = ({ path }) => PAIR.test(path) && halves.has(otherHalf(path));
  const isWhole = (item) => WHOLE.test(item.path) || isPaired(item);
  const looked = await Promise.all(visible.filter((item) => !isWhole(item)).map(async (item) => ({ ...item, study: await studyOf(item.file) })));
  // DICOM files may be called 1.img, 2.img and so on; half of a pair is sent, and the server says what is missing.
  const isHalf = ({ path, study }) => !study && PAIR.test(path);
  const images = [...visible.filter(isWhole), ...looked.filter(isHalf)];
  const others = looked.filter((item) => !isHalf(item));
  const dicom = others.filter(({ study }) => study);
  const unknown = others.filter(({ study }) => !study);
  const scans = [...grouped(images, ({ path }) => path.replace(PAIR, "")), ...grouped(dicom, ({ study }) => study)];
  // Folders also hold tables and notes. A file that was chosen by itself is always sent, and the server says what is wrong with it.
  const folders = scans.length > 0 ? [] : grouped(unknown.filter(inFolder), ({ path }) => path.split("/")[0]);
  const single = unknown.filter((item) => !inFolder(item)).map((item) => [item]);
  return [...scans, ...folders, ...single].map((items) => ({ name: nameOf(items), files: items.map(({ file }) => file) }));
}

// Either half may be compressed.
const otherHalf = (path) => path.replace(PAIR, (_, half) => (half.toLowerCase() === "hdr" ? ".img" : ".hdr"));

const inFolder = ({ path }) => path.includes("/");

function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}

function nameOf(items) {
  const [first, ...more] = items.map(({ path }) => path.split("/"));
  if (more.length === 0 || items.every(({ path, study }) => !study && PAIR.test(path))) return first.at(-1);
  const shared = first.slice(0, -1).filter((part, depth) => more.every((other) => other[depth] === part));
  return shared.at(-1) ?? `${first.at(-1)} and ${more.length} more`;
}

// Looks for the StudyInstanceUID (0020,000D) without reading the elements before it: its value follows eight bytes, in both encodings.
async function studyOf(file) {
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  for (let at = bytes.indexOf(0x20); at >= 0 && at + 8 < bytes.length; at = bytes.indexOf(0x20, at + 1)) {
    if (bytes[at + 1] !== 0 || bytes[at + 2] !== 0x0d || bytes[at + 3] !== 0) continue;
    const length = String.fromCharCode(bytes[at + 4], bytes[at + 5]) === "UI" ? bytes[at + 6] : bytes[at + 4];
    const uid = String.fromCharCode(...bytes.slice(at + 8, at + 8 + length)).replace(/[\0 ]+$/, "");
    if (/^[0-9.]{1,64}$/.test(uid)) return uid;
  }
  return null;
}

export async function bodyOf({ files }) {
  if (files.length === 1) return files[0];
  const [header, image] = ["hdr", "img"].map((ending) => files.find(({ name }) => PAIR.exec(name)?.[1].toLowerCase() === ending));
  return header && image ? joined(header, image) : zipOf(files);
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
