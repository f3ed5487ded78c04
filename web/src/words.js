// Formats numbers, names and sentences for people to read.
export const ml = (volume) => `${volume.toFixed(2)} ml`;

// The server does not know the name of a scan's file.
export const scanName = (id, names) => names.of(id) ?? `Scan ${id.slice(0, 8)}`;

// A message as the second half of a sentence.
export const clause = (text) => text.replace(/^The\b/, "the");

export function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
