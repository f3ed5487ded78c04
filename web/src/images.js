// Shows the images of a case with its mask, and lets one choose its threshold and edit it.
import { find, make } from "./dom.js";
import { refreshDownload } from "./downloads.js";
import { draftOf, offerSaving, refreshSaving, stopSaving } from "./edit-save.js";
import { Tools } from "./edit-tools.js";
import { unzipped } from "./nifti.js";
import { ShownMask } from "./shown.js";
import { Threshold } from "./threshold.js";
import { supported, Viewer, VIEWS } from "./viewer.js";

const WITHOUT = "the figures and files are complete.";

let viewer = null;
let shown = null;
let closing = new AbortController();

// The mask that is shown; null before it is loaded.
export const shownMask = () => shown;

// A case has: key and name, its title if that is another, its record, the SHA-256 of its mask, `file` which fetches a
// part, `save` which is given a mask and the SHA-256 of the one before and returns the record, and `onRecord` which is
// called with the record of a saved mask.
export async function showImages(source, signal) {
  closing = new AbortController();
  note("Loading the images …");
  const [scan, mask, prob, brain] = await Promise.all([
    supported ? source.file("scan", signal).catch(unlessAborted) : null,
    ...["mask", "prob"].map((part) => source.file(part, signal)),
    source.record.files?.brain ? source.file("brain", signal) : null,
  ]);
  const loaded = draftOf(source.key) ?? (await ShownMask.open({ mask, prob, brain, record: source.record, sha256: source.sha256 }));
  signal.throwIfAborted();
  shown = loaded;
  const why = await openViewer(source.record, scan, signal);
  signal.throwIfAborted();
  note(why || (shown.map ? "" : "The probability map lies on another grid than the mask, so that no threshold can be chosen."));
  connect(source);
}

function unlessAborted(error) {
  if (error.name === "AbortError") throw error;
  return error;
}

function connect(source) {
  const [mask, { signal }] = [shown, closing];
  const refresh = (words) => {
    viewer?.showMask(mask.voxels);
    threshold?.refresh();
    refreshSaving(mask);
    refreshDownload(mask);
    tools?.refresh(words);
  };
  const threshold = mask.map ? new Threshold(source.record, mask, () => refresh()) : null;
  const tools = viewer && new Tools({ viewer, shown: mask, onChange: () => refresh(), signal });
  const onEnd = (record, words) => {
    if (signal.aborted) return; // another case is shown meanwhile
    if (record) {
      source.onRecord(record);
      threshold?.follow(record);
    }
    refresh(words);
  };
  find("edit").querySelector('[data-tool="grow"]').disabled = !mask.map;
  offerSaving({ ...source, shown: mask }, onEnd);
  refresh();
}

// Returns why the images cannot be shown; an empty string if they can.
async function openViewer(record, scan, signal) {
  if (!supported) return `This browser has no WebGL2, so the images cannot be shown; ${WITHOUT}`;
  if (scan instanceof Error) return `The images cannot be shown (${scan.message}); ${WITHOUT}`;
  const canvas = find("canvas").cloneNode();
  find("canvas").replaceWith(canvas);
  find("viewer").hidden = false;
  let opened;
  try {
    opened = await Viewer.open(canvas, { scan: await unzipped(scan), mask: shown.picture() }, (mm) => tellPosition(canvas, mm));
  } catch (error) {
    if (!signal.aborted) closeViewer();
    return `The images cannot be shown (${error.message}); ${WITHOUT}`;
  }
  if (signal.aborted) {
    opened.close();
    return "";
  }
  viewer = opened;
  offerViews();
  offerOverlay();
  if (record.lesions.length > 0) viewer.goTo(record.lesions[0].centre_mm);
  return "";
}

// What WebGL has drawn is gone once it was shown, so paper gets a copy.
addEventListener("beforeprint", () => viewer?.copyTo(find("printed")));

export function closeImages() {
  closing.abort();
  stopSaving();
  closeViewer();
  shown = null;
  find("threshold").hidden = true;
}

function closeViewer() {
  viewer?.close();
  viewer = null;
  find("viewer").hidden = true;
}

export function look(mm) {
  viewer?.goTo(mm);
  find("viewer").scrollIntoView({ block: "nearest" });
}

function offerViews() {
  const buttons = Object.keys(VIEWS).map((name) => make("button", { type: "button", onclick: () => choose(name) }, name));
  const choose = (name) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
    viewer.view = name;
  };
  find("views").replaceChildren(...buttons);
  choose("Planes");
}

function offerOverlay() {
  const button = find("overlay");
  const press = (visible) => {
    button.setAttribute("aria-pressed", String(visible));
    viewer.overlay = visible;
  };
  button.onclick = () => press(button.getAttribute("aria-pressed") !== "true");
  press(true);
}

function tellPosition(canvas, mm) {
  [canvas.dataset.x, canvas.dataset.y, canvas.dataset.z] = mm.map((part) => part.toFixed(3));
  const sides = [["L", "R"], ["P", "A"], ["I", "S"]];
  const parts = mm.map((part, axis) => `${sides[axis][Number(part >= 0)]} ${Math.abs(part).toFixed(1)}`);
  find("position").textContent = `${parts.join(" · ")} mm`;
}

function note(text) {
  find("viewer-note").textContent = text;
  find("viewer-note").hidden = !text;
}
