// Formats numbers and sentences for people to read.
export const ml = (volume) => `${volume.toFixed(2)} ml`;

export function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
