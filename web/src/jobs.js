// What the list of jobs shows: the scans that this page is sending, above the server's jobs, newest first.
import { ml, scanName, sentence } from "./words.js";

const STEPS = {
  waiting: "Waiting in the queue",
  reading: "Reading the scan",
  segmenting: "Segmenting",
  writing: "Writing the results",
};
const SENDING = { waiting: "Waiting to be sent", reading: "Reading the files", sending: "Sending the scan" };

export const isOver = ({ state }) => state === "done" || state === "refused" || state === "failed";

// Keeps a deleted job in its place for as long as its deletion can be undone.
export function merged(earlier, latest, deleted) {
  const all = latest.filter(({ id }) => !deleted.has(id));
  for (const [index, job] of earlier.entries()) {
    if (!deleted.has(job.id)) continue;
    const before = earlier.slice(0, index).findLast(({ id }) => all.some((other) => other.id === id));
    all.splice(before ? all.findIndex(({ id }) => id === before.id) + 1 : 0, 0, job);
  }
  return all;
}

// `details` holds the volume, number of lesions and thumbnail of the jobs that have been looked up; `isUnsaved` tells
// whether this page has an unsaved mask of a job.
export function rowsOf({ sends, jobs, deleted, names, details, isUnsaved = () => false }, now = Date.now()) {
  const keys = new Map(sends.map(({ id, key }) => [id, key]));
  const unsent = sends.filter(({ id }) => !id).reverse().map(sendRow);
  const sent = jobs.map((job) => ({
    key: keys.get(job.id) ?? job.id,
    id: job.id,
    name: scanName(job.id, names),
    created: job.created,
    age: ageOf((now - Date.parse(job.created)) / 1000),
    unsaved: isUnsaved(job.id),
    ...(deleted.has(job.id) ? { state: "deleted", text: "Deleted", action: "Undo" } : jobRow(job, details.get(job.id))),
  }));
  return [...unsent, ...sent];
}

// Those that are deleted together: a scan that the server refused to take is no job, and an unsaved mask would be lost.
export const finishedOf = (rows) => rows.filter((row) => row.id && isOver(row) && !row.unsaved);
export const unsavedOf = (rows) => rows.filter((row) => row.id && isOver(row) && row.unsaved);
export const deletedOf = (rows) => rows.filter(({ state }) => state === "deleted");

function sendRow({ key, name, state, progress, seconds, message }) {
  const text = SENDING[state] ?? sentence(seconds ? `${message} Trying again in ${seconds} s` : message);
  const row = { key, name, state, text, action: state === "refused" ? "Remove" : "Cancel" };
  return state === "sending" ? { ...row, progress } : row;
}

function jobRow(job, detail) {
  if (job.error) return { state: job.state, text: sentence(job.error.message), action: "Delete" };
  if (job.state !== "done") return { state: job.state, text: stepOf(job), progress: job.progress, action: "Cancel" };
  const text = detail?.record ? foundIn(detail.record) : "Done";
  return { state: "done", text, picture: detail?.picture, opens: true, action: "Delete" };
}

function stepOf({ step, ahead }) {
  const text = STEPS[step] ?? STEPS.waiting;
  return ahead > 0 ? `${text}, ${ahead} ${ahead === 1 ? "scan" : "scans"} ahead` : text;
}

function foundIn({ volume_ml, lesion_count }) {
  if (lesion_count === 0) return "No lesion";
  return `${ml(volume_ml)} in ${lesion_count} ${lesion_count === 1 ? "lesion" : "lesions"}`;
}

function ageOf(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}

// `left` counts the jobs that were not deleted together with the others.
export function summary(rows, left = 0) {
  const count = (...states) => rows.filter(({ state }) => states.includes(state)).length;
  const counts = { done: count("done"), "not segmented": count("refused", "failed"), deleted: count("deleted") };
  counts["in progress"] = rows.length - Object.values(counts).reduce((sum, part) => sum + part, 0);
  const all = Object.entries(counts).filter(([, number]) => number > 0).map(([what, number]) => `${number} ${what}`).join(", ");
  return left > 0 ? `${all}; ${left} with an unsaved mask ${left === 1 ? "was" : "were"} left` : all;
}
