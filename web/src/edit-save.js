// Saves an edited mask to the server or as a file, and keeps what is not saved as long as the tab is open.
import { find, say } from "./dom.js";
import { downloadShown } from "./downloads.js";
import { clause, ml, sentence } from "./words.js";

const NOT_TAKEN = [404, 405, 501];
const REMEDIES = {
  ...Object.fromEntries(NOT_TAKEN.map((status) => [status, "The mask cannot be saved on this server; download it instead."])),
  412: "Download your mask if you want to keep it, then reload the page.",
};
const drafts = new Map();
const sending = new Set();
let offered = null; // the mask of the open case, and what follows when it was saved or not
let on = null;

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some(isKept)) event.preventDefault();
});

// `listeners` has two functions, also for cases that are not open any more: `saved` with the key of a case whose mask the
// server has taken, `denied` with an error if the token is refused.
export const listenToSaving = (listeners) => { on = listeners; };

const isKept = (shown) => shown.unsaved || sending.has(shown);

// The mask of this case that was edited in this tab and not saved, if there is one.
export const draftOf = (key) => drafts.get(key);

export const isUnsaved = (key) => drafts.has(key) && isKept(drafts.get(key));

export const forget = (key) => drafts.delete(key);

// Offers to save the shown mask of a case. `save` sends a file, given the SHA-256 of the mask before it, and returns the
// new record; `onEnd` is called with it and with words, or with null if the mask was not sent or not taken.
export function offerSaving({ key, name, title = name, shown, save }, onEnd) {
  drafts.set(key, shown);
  offered = { shown, onEnd };
  find("save").hidden = false;
  find("save").onclick = () => send({ key, title, shown, save });
  find("save-file").onclick = () => downloadShown(name, shown).then(() => onEnd(null));
}

export function stopSaving() {
  offered = null;
  for (const [key, shown] of drafts) if (!isKept(shown)) drafts.delete(key);
}

export function refreshSaving(shown) {
  const words = shown.edited ? "corrected mask" : "mask";
  find("save").disabled = shown.isOwn || sending.has(shown);
  find("save").textContent = `Save the ${words}`;
  find("save-file").textContent = `Download the ${words}`;
}

async function send({ key, title, shown, save }) {
  sending.add(shown);
  find("save").disabled = true;
  say("");
  const sent = shown.voxels.slice();
  let record;
  try {
    record = await save(await shown.file(), shown.sha256);
  } catch (error) {
    sending.delete(shown);
    shown.unsaved = !shown.isOwn; // also one at another threshold, which was to be saved
    if (offered?.shown === shown) offered.onEnd(null);
    return tellFailure(error, title, shown);
  }
  shown.settle(sent, record.sha256?.mask);
  sending.delete(shown);
  on.saved(key);
  if (offered?.shown === shown) offered.onEnd(record, `Saved: ${ml(record.volume_ml)}.`);
}

function tellFailure(error, title, shown) {
  const isOpen = offered?.shown === shown;
  const why = error.status === 401 ? "the server does not accept this token; enter another one, then save the mask again" : clause(error.message);
  if (error.status === 401) on.denied(error);
  if (isOpen) find("save").hidden = NOT_TAKEN.includes(error.status);
  const remedy = isOpen && REMEDIES[error.status];
  say([sentence(`The mask of ${title} was not saved: ${why}`), remedy].filter(Boolean).join(" "));
}
