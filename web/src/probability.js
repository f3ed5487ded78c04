// Lesion volume at every threshold, from a histogram of the probabilities in hundredths.
const STEPS = 100;
// In single precision, like the map, so that the slider's 0.7 is the 0.7 that the server compares with.
const EDGES = Float32Array.from({ length: STEPS + 2 }, (_, step) => step / STEPS);

export const stepOf = (probability) => Math.round(probability * STEPS);

export function inSteps({ values, slope, intercept }) {
  const steps = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    const p = values[i] * slope + intercept;
    if (p > 0) steps[i] = floorStep(p);
  }
  return steps;
}

function floorStep(p) {
  const near = Math.min(STEPS, Math.trunc(p * STEPS));
  if (p < EDGES[near]) return near - 1;
  return p >= EDGES[near + 1] ? near + 1 : near;
}

export function volumesFrom(steps, voxelMl) {
  const counts = new Float64Array(STEPS + 2);
  for (let i = 0; i < steps.length; i += 1) counts[steps[i]] += 1;
  for (let step = STEPS - 1; step >= 0; step -= 1) counts[step] += counts[step + 1];
  return counts.map((count) => count * voxelMl);
}
