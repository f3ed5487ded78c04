// Saves an edited mask to the server or as a file, and keeps what is not saved as long as the tab is open.
import { find, say } from "./dom.js";
import { downloadShown } from "./downloads.js";
import { ml } from "./words.js";

const NOT_TAKEN = [404, 405, 501];
const drafts = new Map();
const sending = new Set();
let offered = null; // the mask of the open case, and what follows when it was saved

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some((shown) => shown.unsaved)) event.preventDefault();
});

// The mask of this case that was edited in this tab and not saved, if there is one.
export const draftOf = (key) => drafts.get(key);

export const forget = (key) => drafts.delete(key);

// Offers to save the shown mask of a case. `save` sends a file and returns the new record.
export function offerSaving({ key, name, shown, save }, onSaved) {
  drafts.set(key, shown);
  offered = { shown, onSaved };
  find("save").hidden = false;
  find("save").onclick = () => send(shown, save);
  find("save-file").onclick = () => downloadShown(name, shown).then(() => onSaved(null));
}

export function stopSaving() {
  offered = null;
  for (const [key, shown] of drafts) if (!shown.unsaved) drafts.delete(key);
}

export function refreshSaving(shown) {
  const words = shown.edited ? "corrected mask" : "mask";
  find("save").disabled = shown.isOwn || sending.has(shown);
  find("save").textContent = `Save the ${words}`;
  find("save-file").textContent = `Download the ${words}`;
}

async function send(shown, save) {
  sending.add(shown);
  find("save").disabled = true;
  say("");
  try {
    const sent = shown.voxels.slice();
    const record = await save(await shown.file());
    shown.settle(sent);
    sending.delete(shown);
    if (offered?.shown === shown) offered.onSaved(record, `Saved: ${ml(record.volume_ml)}.`);
  } catch (error) {
    sending.delete(shown);
    if (offered?.shown !== shown) return; // another case is open
    const refused = NOT_TAKEN.includes(error.status);
    find("save").hidden = refused;
    say(`${error.message}${refused ? " The mask cannot be saved on this server; download it instead." : ""}`);
    refreshSaving(shown);
  }
}
