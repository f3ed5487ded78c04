// Downloads of a result's files, fetched with the token and named after the job only.
import * as api from "./api.js";
import { find, make } from "./dom.js";

const FILES = [
  { name: "mask", label: "Mask", suffix: "_mask.nii.gz" },
  { name: "prob", label: "Probability map", suffix: "_prob.nii.gz" },
  { name: "record", label: "Record (JSON)", suffix: ".json" },
  { name: "seg", label: "DICOM SEG", suffix: "_seg.dcm", key: "seg" },
  { name: "probseg", label: "DICOM SEG (probabilities)", suffix: "_probseg.dcm", key: "prob_seg" },
  { name: "sr", label: "DICOM SR", suffix: "_sr.dcm", key: "report" },
  { name: "", label: "All files (zip)", suffix: ".zip" },
];

// `shownMask` gives the mask that the page shows, or null: one that is not the server's is made in the page.
export function showDownloads(job, { onTrouble, shownMask }) {
  const offered = FILES.filter(({ key }) => !key || job.record.files?.[key]);
  const act = (file) => (file.name === "mask" && !(shownMask()?.isOwn ?? true) ? downloadShown(job.id, shownMask()) : save(job.id, file));
  const buttons = offered.map((file) => button(file.label, () => act(file), onTrouble));
  buttons[0].id = "download-mask";
  find("downloads").replaceChildren(button("Report page", () => openPage(job.id), onTrouble), ...buttons);
}

export async function downloadShown(name, shown) {
  saveAs(await shown.file(), `${name}${shown.suffix}`);
  shown.unsaved = false;
}

export function refreshDownload(shown) {
  const button = find("download-mask");
  if (!button) return;
  const atThreshold = shown.threshold === null ? "Mask" : `Mask at threshold ${shown.threshold.toFixed(2)}`;
  button.textContent = shown.edited ? "Corrected mask" : atThreshold;
}

function button(label, act, onTrouble) {
  const element = make("button", { type: "button" }, label);
  element.onclick = async () => {
    element.disabled = true;
    await act().catch(onTrouble);
    element.disabled = false;
  };
  return element;
}

async function save(id, { name, suffix }) {
  saveAs(await api.file(id, name), `${id}${suffix}`);
}

function saveAs(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// The tab is opened before the first await: after it, browsers would block the tab as a pop-up.
async function openPage(id) {
  const tab = open("", "_blank");
  try {
    const page = await api.file(id, "page");
    tab.location = URL.createObjectURL(new Blob([page], { type: "text/html" }));
  } catch (error) {
    tab.close();
    throw error;
  }
}
