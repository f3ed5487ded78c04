// The threshold slider, and the lesion volume at its threshold.
import { find } from "./dom.js";
import { stepOf } from "./probability.js";
import { ml } from "./words.js";

export function listenToThreshold(record, volumes, { onOwn, onStep }) {
  const slider = find("slider");
  const own = Math.min(stepOf(slider.max), Math.max(stepOf(slider.min), stepOf(record.threshold)));
  const update = () => {
    const step = stepOf(slider.valueAsNumber);
    const isOwn = step === own;
    tell(slider, isOwn ? ownWords(record) : words(step, volumes[step], record));
    find("own").disabled = isOwn;
    if (isOwn) onOwn();
    else onStep(step);
  };
  find("own").onclick = () => {
    slider.value = own / 100;
    update();
    slider.focus();
  };
  slider.oninput = update;
  slider.value = own / 100;
  find("threshold").hidden = false;
  update();
}

function ownWords(record) {
  return { value: `${Number(record.threshold.toFixed(3))} (the model’s)`, volume: ml(record.volume_ml), note: "" };
}

function words(step, volume, record) {
  const least = record.provenance.inference.min_lesion_ml;
  const note = least > 0 ? `before lesions smaller than ${least} ml are removed` : "";
  return { value: (step / 100).toFixed(2), volume: ml(volume), note };
}

function tell(slider, { value, volume, note }) {
  find("threshold-value").textContent = value;
  find("threshold-volume").textContent = volume;
  find("threshold-note").textContent = note;
  slider.setAttribute("aria-valuetext", `${value}: ${volume} ${note}`);
}
