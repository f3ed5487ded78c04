// The threshold slider, and the lesion volume of the mask that is shown.
import { find } from "./dom.js";
import { stepOf } from "./probability.js";
import { ml } from "./words.js";

export class Threshold {
  #record;
  #shown;
  #slider = find("slider");

  constructor(record, shown, onShow) {
    this.#record = record;
    this.#shown = shown;
    this.#slider.oninput = () => {
      const step = stepOf(this.#slider.valueAsNumber);
      shown.show(step === this.#own ? null : step / 100);
      onShow();
    };
    find("own").onclick = () => {
      shown.show(null);
      onShow();
      this.#slider.focus();
    };
    find("threshold").hidden = false;
    this.refresh();
  }

  // After the mask was saved.
  follow(record) {
    this.#record = record;
    this.refresh();
  }

  refresh() {
    const { threshold, volumeMl, isOwn } = this.#shown;
    const corrected = Boolean(this.#record.correction);
    this.#slider.value = threshold ?? this.#own / 100;
    const value = this.#value(corrected);
    const volume = ml(isOwn ? this.#record.volume_ml : volumeMl);
    const note = this.#note();
    find("threshold-value").textContent = value;
    find("threshold-volume").textContent = volume;
    find("threshold-note").textContent = note;
    find("own").textContent = corrected ? "Reset to the saved mask" : "Reset to the model’s threshold";
    find("own").disabled = threshold === null;
    this.#slider.setAttribute("aria-valuetext", `${value}: ${volume} ${note}`);
  }

  get #own() {
    const [least, most] = [this.#slider.min, this.#slider.max].map(stepOf);
    return Math.min(most, Math.max(least, stepOf(this.#record.threshold)));
  }

  #value(corrected) {
    const { threshold, edited } = this.#shown;
    if (threshold !== null) return threshold.toFixed(2);
    const own = `${Number(this.#record.threshold.toFixed(3))} (the model’s)`;
    return corrected && !edited ? `${own}; the mask shown was corrected by hand` : own;
  }

  #note() {
    if (this.#shown.edited) return "The mask was edited: the threshold now limits only the tool Grow.";
    if (this.#shown.threshold === null) return "";
    const { min_lesion_ml: leastMl, least_chance: leastChance, lesion_chance: known } = this.#record.provenance.inference;
    const small = leastMl > 0 ? `without lesions smaller than ${leastMl} ml` : "";
    const drops = known ? "without lesions that are unlikely to be real" : "with lesions that the model’s own mask leaves out as unlikely to be real";
    const unlikely = leastChance > 0 ? drops : "";
    return [small, unlikely].filter(Boolean).join(", ");
  }
}
