// Numbers and sentences as people read them.
export const ml = (volume) => `${volume.toFixed(2)} ml`;

export function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
