// Shows a finished job: its record, its images, its files.
import * as api from "./api.js";
import { find, show } from "./dom.js";
import { showDownloads } from "./downloads.js";
import { closeImages, look, showImages, shownMask } from "./images.js";
import { showRecord } from "./record.js";
import { names } from "./session.js";
import { supported } from "./viewer.js";
import { scanName } from "./words.js";

export async function showResult(job, { signal, onTrouble }) {
  close();
  const tell = (record) => {
    showRecord(record, supported ? ({ centre_mm }) => look(centre_mm) : null);
    showDownloads({ ...job, record }, { onTrouble, shownMask });
  };
  tell(job.record);
  tellExpiry(job.expires);
  show("result");
  find("result-title").focus();
  await showImages(sourceOf(job, tell), signal);
}

function sourceOf({ id, record }, onRecord) {
  return {
    key: id,
    name: id,
    title: scanName(id, names),
    record,
    sha256: record.sha256?.mask,
    file: (part, signal) => api.file(id, part, signal),
    save: (mask, before) => api.saveMask(`v1/jobs/${id}/mask`, mask, before),
    onRecord,
  };
}

export function close() {
  closeImages();
}

function tellExpiry(expires) {
  find("expiry").textContent = `Kept on the server until ${new Date(expires).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}.`;
}
