// The files of a result: fetched with the token, named after the job only.
import * as api from "./api.js";
import { find, make } from "./dom.js";

const FILES = [
  { name: "mask", label: "Mask", suffix: "_mask.nii.gz" },
  { name: "prob", label: "Probability map", suffix: "_prob.nii.gz" },
  { name: "record", label: "Record (JSON)", suffix: ".json" },
  { name: "seg", label: "DICOM SEG", suffix: "_seg.dcm", key: "seg" },
  { name: "probseg", label: "DICOM SEG of probabilities", suffix: "_probseg.dcm", key: "prob_seg" },
  { name: "sr", label: "DICOM SR", suffix: "_sr.dcm", key: "report" },
  { name: "", label: "All (zip)", suffix: ".zip" },
];

export function showDownloads(job, { onTrouble }) {
  const offered = FILES.filter(({ key }) => !key || job.record.files?.[key]);
  const buttons = offered.map((file) => button(file.label, () => save(job.id, file), onTrouble));
  find("downloads").replaceChildren(button("Report page", () => openPage(job.id), onTrouble), ...buttons);
}

function button(label, act, onTrouble) {
  const made = make("button", { type: "button" }, label);
  made.onclick = async () => {
    made.disabled = true;
    await act().catch(onTrouble);
    made.disabled = false;
  };
  return made;
}

async function save(id, { name, suffix }) {
  const address = URL.createObjectURL(await api.file(id, name));
  make("a", { href: address, download: `${id}${suffix}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// The tab is opened before the first await: later, a browser takes it for an unasked pop-up.
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
