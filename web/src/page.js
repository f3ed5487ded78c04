// The page: access token, the list of jobs, a result. The list and a result above it are entries of the browser's history.
import * as api from "./api.js";
import { caseInAddress, showCase } from "./case.js";
import { find, say, show } from "./dom.js";
import { forget, listenToSaving } from "./edit-save.js";
import { listen } from "./intake.js";
import { close, showResult } from "./result.js";
import { names, takeTokenFromAddress, token } from "./session.js";
import { scanName } from "./words.js";
import { Workbench } from "./workbench.js";

let opened = new AbortController();
let shownJob = null;
let afterLeaving = null;
const workbench = new Workbench({ open, trouble: onTrouble, gone: forget });

// An entry names its job in its state, never in the address.
const jobOfEntry = () => history.state?.job;

function open(id) {
  history[jobOfEntry() ? "replaceState" : "pushState"]({ job: id }, "");
  showJob(id);
}

async function showJob(id) {
  opened.abort();
  opened = new AbortController();
  const { signal } = opened;
  const onResultTrouble = (error) => {
    onTrouble(error);
    const cannotStay = error.status !== 401 && (find("result").hidden || error.status === 404);
    if (cannotStay && !signal.aborted) leave(focusOn(id));
  };
  say("");
  shownJob = id;
  find("result-title").textContent = scanName(id, names);
  try {
    const job = await api.job(id, signal);
    if (job.state === "done") await showResult(job, { signal, onTrouble: onResultTrouble });
    else leave(focusOn(id));
  } catch (error) {
    if (!signal.aborted) onResultTrouble(error);
  }
}

function onTrouble(error) {
  if (error.status === 401) askForAccess(error instanceof api.UnusableToken ? error.message : undefined);
  else say(error.message);
}

function askForAccess(why = "The server does not accept this token.") {
  if (token.get()) say(why);
  token.clear();
  workbench.stop();
  show("access");
  find("token").focus();
}

function showList() {
  opened.abort();
  if (shownJob) workbench.renew(shownJob);
  shownJob = null;
  close();
  show("intake");
}

const focusOn = (id) => () => workbench.focus(id);

// From a result to the list, which is the entry below it; then `act` is called.
function leave(act) {
  if (afterLeaving || !jobOfEntry()) return;
  afterLeaving = act;
  history.back();
}

function showEntry() {
  if (jobOfEntry()) showJob(jobOfEntry());
  else showList();
}

// The browser's own buttons lead here too.
function onEntry() {
  const left = afterLeaving;
  const act = left ?? focusOn(shownJob);
  afterLeaving = null;
  if (!token.get() || caseInAddress()) return;
  if (!left) say("");
  showEntry();
  if (!jobOfEntry()) act();
}

function back() {
  say("");
  leave(focusOn(shownJob));
}

function another() {
  say("");
  leave(() => find("file").focus());
}

function discard() {
  const id = shownJob;
  say("");
  leave(() => workbench.discard(id).catch(onTrouble));
}

function enter() {
  if (!token.get()) return askForAccess();
  if (caseInAddress()) return openCase(caseInAddress());
  workbench.start();
  showEntry();
}

async function openCase(name) {
  try {
    await showCase(name, opened.signal);
  } catch (error) {
    onTrouble(error);
  }
}

function add(files) {
  say("");
  workbench.add(files).catch(onTrouble);
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
addEventListener("popstate", onEntry);
listen(add);
listenToSaving({ saved: (key) => workbench.renew(key), denied: onTrouble });
takeTokenFromAddress();
enter();
