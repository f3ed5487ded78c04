// The probability map, and the mask that the server's rule makes of it at a threshold.
import { dropLesions } from "./edit-shapes.js";

const STEPS = 100;
const MOST_LOGIT = 15;

export const stepOf = (probability) => Math.round(probability * STEPS);

export class ProbabilityMap {
  #map;
  #brain;
  #grid;
  #rule;

  // Brain: 1 inside; null if the model gives none. The rule is a record's `provenance.inference`: lesions that are
  // smaller than its `min_lesion_ml` are removed, and those under its `always_kept_ml` that are less likely to be real
  // than its `least_chance`.
  constructor(map, { brain, grid, rule }) {
    this.#map = map;
    this.#brain = brain;
    this.#grid = grid;
    this.#rule = rule;
  }

  at(index) {
    return this.#map.values[index] * this.#map.slope + this.#map.intercept;
  }

  // In single precision, like the map, so that the slider's 0.7 is the 0.7 that the server compares with.
  reaches(index, threshold) {
    return this.at(index) >= Math.fround(threshold) && (this.#brain === null || this.#brain[index] === 1);
  }

  maskAt(threshold) {
    const { values, slope, intercept } = this.#map;
    const least = Math.fround(threshold);
    const voxels = new Uint8Array(this.#grid.count);
    for (let index = 0; index < voxels.length; index += 1) voxels[index] = values[index] * slope + intercept >= least ? 1 : 0;
    if (this.#brain) for (let index = 0; index < voxels.length; index += 1) voxels[index] &= this.#brain[index];
    const { min_lesion_ml: leastMl = 0, least_chance: leastChance = 0 } = this.#rule;
    if (leastMl > 0 || leastChance > 0) dropLesions(this.#grid, voxels, (lesion) => this.#isKept(lesion));
    return voxels;
  }

  #isKept(lesion) {
    const { min_lesion_ml: leastMl = 0, least_chance: leastChance = 0, lesion_chance: coefficients } = this.#rule;
    const { always_kept_ml: keptMl = Infinity } = this.#rule;
    const volumeMl = lesion.length * this.#grid.voxelMl;
    if (volumeMl < leastMl) return false;
    if (!(leastChance > 0) || !coefficients || volumeMl >= keptMl) return true;
    const logits = lesion.map((index) => logitOf(this.at(index)));
    const [constant, byLogit, byVolume] = coefficients;
    const mean = logits.reduce((sum, logit) => sum + logit, 0) / logits.length;
    return 1 / (1 + Math.exp(-(constant + byLogit * mean + byVolume * Math.log(volumeMl)))) >= leastChance;
  }
}

// Of a probability, clipped as the server clips it.
function logitOf(probability) {
  const within = Math.min(1, Math.max(0, probability));
  return Math.min(MOST_LOGIT, Math.max(-MOST_LOGIT, Math.log(within / (1 - within))));
}
