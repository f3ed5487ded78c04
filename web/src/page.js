// The page: access token, the list of jobs, a result.
import * as api from "./api.js";
import { caseInAddress, showCase } from "./case.js";
import { find, say, show } from "./dom.js";
import { forget } from "./edit-save.js";
import { listen } from "./intake.js";
import { close, showResult } from "./result.js";
import { job as kept, names, takeTokenFromAddress, token } from "./session.js";
import { Workbench } from "./workbench.js";

let opened = new AbortController();
const workbench = new Workbench({ open, trouble: onTrouble, gone: forget });

async function open(id) {
  opened.abort();
  opened = new AbortController();
  const { signal } = opened;
  say("");
  kept.set(id);
  find("result-title").textContent = names.of(id) ?? `Scan ${id.slice(0, 8)}`;
  try {
    const job = await api.job(id, signal);
    if (job.state === "done") await showResult(job, { signal, onTrouble });
    else showList();
  } catch (error) {
    if (!signal.aborted) onTrouble(error);
  }
}

function onTrouble(error) {
  if (error.status === 401) return askForAccess();
  say(error.message);
  if (find("result").hidden || error.status === 404) showList();
}

function askForAccess() {
  if (token.get()) say("The server does not accept this token.");
  token.clear();
  workbench.stop();
  show("access");
  find("token").focus();
}

function showList() {
  opened.abort();
  if (kept.get()) workbench.renew(kept.get());
  kept.clear();
  close();
  show("intake");
}

function another() {
  say("");
  showList();
  find("file").focus();
}

function back() {
  const id = kept.get();
  say("");
  showList();
  workbench.focus(id);
}

function enter() {
  if (!token.get()) return askForAccess();
  if (caseInAddress()) return openCase(caseInAddress());
  workbench.start();
  if (kept.get()) open(kept.get());
  else showList();
}

async function openCase(name) {
  try {
    await showCase(name, opened.signal);
  } catch (error) {
    if (error.status === 401) askForAccess();
    else say(error.message);
  }
}

function add(files) {
  say("");
  workbench.add(files).catch(onTrouble);
}

function discard() {
  const id = kept.get();
  say("");
  showList();
  workbench.discard(id).catch(onTrouble);
}

find("access").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(find("token").value.trim());
  find("token").value = "";
  say("");
  enter();
});
find("delete").onclick = discard;
find("another").onclick = another;
find("back").onclick = back;
listen(add);
takeTokenFromAddress();
enter();
