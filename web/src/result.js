// Shows a finished job: its record, its images, its files.
import * as api from "./api.js";
import { find, make, show } from "./dom.js";
import { showDownloads } from "./downloads.js";
import { read, unzipped } from "./nifti.js";
import { inSteps, volumesFrom } from "./probability.js";
import { showRecord } from "./record.js";
import { listenToThreshold } from "./threshold.js";
import { supported, Viewer, VIEWS } from "./viewer.js";

const PARTS = supported ? ["prob", "scan", "mask"] : ["prob"];

let viewer = null;

export async function showResult(job, { signal, onTrouble }) {
  close();
  showRecord(job.record, supported ? ({ centre_mm }) => look(centre_mm) : null);
  showDownloads(job, { onTrouble });
  tellExpiry(job.expires);
  show("result");
  find("result-title").focus();
  await showPictures(job, signal);
}

async function showPictures(job, signal) {
  note("Loading the images …");
  const [probability, ...pictures] = await Promise.all(PARTS.map(async (part) => unzipped(await api.file(job.id, part, signal))));
  const map = read(probability);
  const steps = inSteps(map);
  signal.throwIfAborted();
  note(await openViewer(job.record, pictures, steps));
  if (signal.aborted) return close();
  listenToThreshold(job.record, volumesFrom(steps, map.voxelMl), {
    onOwn: () => viewer?.showMask(),
    onStep: (step) => viewer?.showFrom(step),
  });
}

// Returns why the images cannot be shown; an empty string if they can.
async function openViewer(record, [scan, mask], steps) {
  if (!supported) return "This browser has no WebGL2, so the images cannot be shown; the figures and files are complete.";
  const canvas = find("canvas").cloneNode();
  find("canvas").replaceWith(canvas);
  find("viewer").hidden = false;
  try {
    viewer = await Viewer.open(canvas, { scan, mask, steps }, (mm) => tellPosition(canvas, mm));
  } catch (error) {
    close();
    return `The images cannot be shown (${error.message}); the figures and files are complete.`;
  }
  offerViews();
  offerOverlay();
  if (record.lesions.length > 0) viewer.goTo(record.lesions[0].centre_mm);
  return "";
}

export function close() {
  viewer?.close();
  viewer = null;
  find("viewer").hidden = true;
  find("threshold").hidden = true;
}

function look(mm) {
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
  const press = (shown) => {
    button.setAttribute("aria-pressed", String(shown));
    viewer.overlay = shown;
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

function tellExpiry(expires) {
  find("expiry").textContent = `Kept on the server until ${new Date(expires).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}.`;
}

function note(text) {
  find("viewer-note").textContent = text;
  find("viewer-note").hidden = !text;
}
