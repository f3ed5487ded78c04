// Shows the record as figures, sentences and a table.
import { find, make } from "./dom.js";
import { sentence } from "./words.js";

export function showRecord(record, onLesion) {
  find("figures").replaceChildren(...figures(record).map(([term, ...value]) => make("div", {}, make("dt", {}, term), make("dd", {}, ...value))));
  showReason(record.reason);
  showFlags(record.flags);
  showLesions(record.lesions, onLesion);
  find("made").textContent = provenanceLine(record);
}

function figures(record) {
  const unit = () => make("small", {}, " ml");
  const all = [["Lesion volume", record.volume_ml.toFixed(2), unit()]];
  const interval = record.confidence.volume_interval_ml;
  if (interval) {
    const level = Math.round(100 * record.confidence.volume_interval_level);
    all.push([`Volume (${level} % interval)`, interval.map((end) => end.toFixed(1)).join("–"), unit()]);
  }
  all.push(["Lesions", String(record.lesion_count)]);
  return all;
}

function showReason(reason) {
  find("reason").hidden = !reason;
  find("reason").textContent = reason ? sentence(reason) : "";
}

function showFlags(flags) {
  const ordered = ["warning", "note"].flatMap((severity) => flags.filter((flag) => flag.severity === severity));
  find("flags").hidden = ordered.length === 0;
  find("flags").replaceChildren(...ordered.map((flag) => make("li", { className: flag.severity }, flag.text)));
}

function showLesions(lesions, onLesion) {
  find("lesions").hidden = lesions.length === 0;
  find("lesions").querySelector("tbody").replaceChildren(...lesions.map((lesion) => row(lesion, onLesion)));
}

function row(lesion, onLesion) {
  const go = make("button", { type: "button", disabled: !onLesion, onclick: () => onLesion(lesion) }, String(lesion.number));
  go.setAttribute("aria-label", `Show lesion ${lesion.number}`);
  const cells = [
    go,
    lesion.volume_ml.toFixed(3),
    lesion.centre_mm.map(Math.round).join(", "),
    lesion.extent_mm.map(Math.round).join(" × "),
    lesion.mean_probability.toFixed(2),
    chance(lesion.confidence),
  ];
  return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
}

function chance(confidence) {
  if (confidence === null) return "–";
  return confidence >= 0.995 ? "> 0.99" : confidence.toFixed(2);
}

function provenanceLine({ scan, provenance }) {
  const spacing = scan.spacing_mm.map((mm) => Number(mm.toFixed(2))).join(" × ");
  return `Scan: ${scan.shape.join(" × ")} voxels of ${spacing} mm · Weights: “${provenance.weights.name}”`;
}
