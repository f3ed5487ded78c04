// Shows one case of a served study, to look at and to correct.
import * as api from "./api.js";
import { find, make, show } from "./dom.js";
import { downloadShown } from "./downloads.js";
import { closeImages, look, showImages, shownMask } from "./images.js";
import { showRecord } from "./record.js";
import { supported } from "./viewer.js";

const INDEX = "study/";

export const caseInAddress = () => new URLSearchParams(location.search).get("case");

export async function showCase(name, signal) {
  closeImages();
  find("result-title").textContent = name;
  document.title = `${name} · insula`;
  Object.assign(find("back"), { textContent: "All cases", onclick: () => location.assign(INDEX) });
  for (const id of ["another", "delete", "expiry"]) find(id).hidden = true;
  const places = await (await api.get(`study/cases/${encodeURIComponent(name)}.json`, signal)).json();
  const record = await (await api.get(places.record, signal)).json();
  const tell = (latest) => showRecord(latest, supported ? ({ centre_mm }) => look(centre_mm) : null);
  tell(record);
  offerFiles(name, places);
  show("result");
  find("result-title").focus();
  await showImages(sourceOf(name, { places, record, tell }), signal);
}

function sourceOf(name, { places, record, tell }) {
  return {
    key: `case ${name}`,
    name,
    record,
    sha256: places.mask_sha256,
    file: async (part, signal) => (await api.get(places[part], signal)).blob(),
    save: (mask, before) => api.saveMask(places.save, mask, before),
    onRecord: tell,
  };
}

function offerFiles(name, places) {
  const mask = make("button", { type: "button", id: "download-mask", onclick: () => shownMask() && downloadShown(name, shownMask()) }, "Mask");
  const page = make("a", { className: "button", href: places.page }, "Report page");
  find("downloads").replaceChildren(page, mask, make("a", { className: "button", href: INDEX }, "All cases"));
}
