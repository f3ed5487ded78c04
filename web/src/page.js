// The page: access token, choice of a scan, progress, result.
import * as api from "./api.js";
import { find, say, show } from "./dom.js";
import { listen } from "./intake.js";
import { close, showResult } from "./result.js";
import { follow, send } from "./run.js";
import { job as kept, takeTokenFromAddress, token } from "./session.js";

let running = new AbortController();

async function start(files) {
  say("");
  running = new AbortController();
  const { signal } = running;
  try {
    const id = files ? await send(files, signal) : kept.get();
    await showResult(await follow(id, signal), { signal, onTrouble });
  } catch (error) {
    if (!signal.aborted) onTrouble(error);
  }
}

function onTrouble(error) {
  if (error.status === 401) return askForAccess();
  say(error.message);
  if (find("result").hidden || error.status === 404) begin();
}

function askForAccess() {
  if (token.get()) say("The server does not accept this token.");
  token.clear();
  show("access");
  find("token").focus();
}

function begin() {
  kept.clear();
  close();
  show("intake");
}

function another() {
  running.abort();
  say("");
  begin();
  find("file").focus();
}

function enter() {
  if (!token.get()) askForAccess();
  else if (kept.get()) start();
  else {
    begin();
    api.greet().catch(onTrouble); // asks for another token now, not after an upload, if this one is not accepted
  }
}

async function discard() {
  running.abort();
  try {
    if (kept.get()) await api.remove(kept.get());
    another();
  } catch (error) {
    onTrouble(error);
  }
}

find("access").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(find("token").value.trim());
  find("token").value = "";
  say("");
  enter();
});
find("cancel").onclick = discard;
find("delete").onclick = discard;
find("another").onclick = another;
listen(start);
takeTokenFromAddress();
enter();
