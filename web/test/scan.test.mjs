// How chosen files become scans and uploads: node --test test/scan.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { unzipSync } from "fflate";
import { bodyOf, scansOf } from "../src/scan.js";

const item = (path, content = "x") => ({ path, file: new File([content], path.split("/").at(-1)) });
const scans = async (...items) => (await scansOf(items)).map(({ name, files }) => [name, files.map((file) => file.name)]);
const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());

function dicom(study, { explicit = true } = {}) {
  const before = Buffer.from([8, 0, 0x20, 0, 0x44, 0x41, 8, 0, ...Buffer.from("20260101")]);
  const length = explicit ? [0x55, 0x49, study.length, 0] : [study.length, 0, 0, 0];
  return Buffer.concat([Buffer.alloc(128), Buffer.from("DICM"), before, Buffer.from([0x20, 0, 0x0d, 0, ...length]), Buffer.from(study), Buffer.alloc(40)]);
}

test("every NIfTI file and every archive is a scan", async () => {
  const names = ["a.nii", "b.nii.gz", "c.zip", "d.tgz", "E.NII.GZ", "f.tar"];
  assert.deepEqual(await scans(...names.map((name) => item(name))), names.map((name) => [name, [name]]));
});

test("an .hdr and an .img of the same name are one scan, in each folder", async () => {
  assert.deepEqual(await scans(item("p/a.hdr"), item("q/a.hdr"), item("p/a.img"), item("q/a.img"), item("b.img.gz"), item("b.hdr"), item("c.hdr")), [
    ["a.hdr", ["a.hdr", "a.img"]],
    ["a.hdr", ["a.hdr", "a.img"]],
    ["b.img.gz", ["b.img.gz", "b.hdr"]],
    ["c.hdr", ["c.hdr"]],
  ]);
});

test("DICOM slices that are called .img are one scan, and half of a pair is sent alone", async () => {
  const slices = [1, 2, 3].map((n) => item(`exam/${n}.img`, dicom("1.2.3")));
  assert.deepEqual(await scans(...slices, item("exam/a.hdr"), item("exam/a.img"), item("exam/b.img")), [
    ["a.hdr", ["a.hdr", "a.img"]],
    ["b.img", ["b.img"]],
    ["exam", ["1.img", "2.img", "3.img"]],
  ]);
  const paired = [item("p/a.IMG.gz", dicom("1.2.3")), item("p/a.hdr")];
  assert.deepEqual(await scans(...paired), [["a.IMG.gz", ["a.IMG.gz", "a.hdr"]]]);
});

test("the DICOM files of a study are one scan, whatever their folders and encoding", async () => {
  const found = await scans(
    item("ward/jane/s1/1.dcm", dicom("1.2.3")),
    item("ward/jane/s2/1", dicom("1.2.3\0")),
    item("ward/john/1", dicom("1.2.31", { explicit: false })),
    item("ward/john/2", dicom("1.2.31", { explicit: false })),
    item("ward/john/DICOMDIR", "no study"),
    item("ward/notes.txt", "no scan"),
  );
  assert.deepEqual(found, [["jane", ["1.dcm", "1"]], ["john", ["1", "2"]]]);
});

test("DICOM files without a folder are named after the first", async () => {
  assert.deepEqual(await scans(item("1.dcm", dicom("1.2")), item("2.dcm", dicom("1.2")), item("3.dcm", dicom("1.2"))), [["1.dcm and 2 more", ["1.dcm", "2.dcm", "3.dcm"]]]);
});

test("a file that was chosen by itself is sent whatever it is, and so is a folder without anything known", async () => {
  assert.deepEqual(await scans(item("a.nii"), item("notes.txt")), [["a.nii", ["a.nii"]], ["notes.txt", ["notes.txt"]]]);
  assert.deepEqual(await scans(item("odd/x/1"), item("odd/y/2")), [["odd", ["1", "2"]]]);
});

test("hidden files and what macOS adds are passed over", async () => {
  assert.deepEqual(await scans(item("p/.DS_Store"), item("__MACOSX/p/a.nii"), item("p/.git/b.nii")), []);
});

test("one file is sent as it is, and DICOM files as a zip with numbered names", async () => {
  const file = new File(["content"], "Doe^Jane.nii");
  assert.equal(await bodyOf({ files: [file] }), file);
  const zip = await bodyOf({ files: [new File(["one"], "Doe^Jane.1"), new File(["two"], "Doe^Jane.2")] });
  const entries = unzipSync(new Uint8Array(await bytesOf(zip)));
  assert.deepEqual(Object.keys(entries), ["000001.dcm", "000002.dcm"]);
  assert.equal(Buffer.from(entries["000002.dcm"]).toString(), "two");
});

for (const littleEndian of [true, false]) {
  test(`a pair becomes one .nii with the same header and voxels (${littleEndian ? "little" : "big"}-endian)`, async () => {
    const header = Buffer.alloc(352, 7);
    const view = new DataView(header.buffer, header.byteOffset);
    view.setInt32(0, 348, littleEndian);
    view.setFloat32(108, 16, littleEndian);
    header.write("ni1\0", 344, "latin1");
    const files = [new File([gzipSync(Buffer.from("sixteen bytes...voxels"))], "a.img.gz"), new File([header], "a.hdr")];
    const single = await bytesOf(await bodyOf({ files }));
    assert.equal(single.subarray(352).toString(), "voxels");
    assert.equal(new DataView(single.buffer, single.byteOffset).getFloat32(108, littleEndian), 352);
    assert.equal(single.toString("latin1", 344, 352), "n+1\0\0\0\0\0");
    for (const [from, to] of [[0, 108], [112, 344]]) assert.ok(single.subarray(from, to).equals(header.subarray(from, to)));
  });
}

test("an .hdr that is no NIfTI-1 header is refused before it is sent", async () => {
  const files = [new File([Buffer.alloc(348)], "a.hdr"), new File(["x"], "a.img")];
  await assert.rejects(bodyOf({ files }), /not the header of a NIfTI-1 pair/);
});
