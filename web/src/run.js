// Sends a scan, follows its job until it has finished, and shows the progress.
import * as api from "./api.js";
import { find, show } from "./dom.js";
import { bodyOf } from "./scan.js";
import { job as kept } from "./session.js";

const POLL_MS = 500;
const LOST_MS = 2000;
const STEPS = {
  waiting: "Waiting in the queue",
  reading: "Reading the scan",
  segmenting: "Segmenting",
  writing: "Writing the results",
};

export async function send(files, signal) {
  show("progress");
  tell("Reading the files");
  const body = await bodyOf(await files);
  signal.throwIfAborted();
  for (;;) {
    try {
      tell("Sending the scan", 0);
      const onProgress = (part) => tell("Sending the scan", part);
      const { id } = await api.upload(body, { signal, onProgress });
      kept.set(id);
      return id;
    } catch (error) {
      if (error.status !== 503) throw error;
      await countDown(error.seconds, signal);
    }
  }
}

export async function follow(id, signal) {
  show("progress");
  for (;;) {
    const job = await look(id, signal);
    if (job?.state === "done") return job;
    if (job?.error) throw new Error(job.error.message);
    if (job) tell(STEPS[job.step] ?? STEPS.waiting, job.progress, ahead(job));
    await sleep(job ? POLL_MS : LOST_MS, signal);
  }
}

async function look(id, signal) {
  try {
    return await api.job(id, signal);
  } catch (error) {
    if (!(error instanceof api.Unreachable)) throw error;
    tell("The server is not responding; trying again");
    return null;
  }
}

async function countDown(seconds, signal) {
  tell("The server is busy");
  for (let left = seconds; left > 0; left -= 1) {
    find("ahead").textContent = `Trying again in ${left} s`;
    await sleep(1000, signal);
  }
}

const ahead = (job) => (job.ahead > 0 ? `${job.ahead} ${job.ahead === 1 ? "scan" : "scans"} ahead of yours` : "");

function tell(step, progress, note = "") {
  const bar = find("progress").querySelector("progress");
  if (progress === undefined) bar.removeAttribute("value");
  else bar.value = progress;
  // Updated only when it changes, or a screen reader would read it out at every poll.
  if (find("step").textContent !== step) find("step").textContent = step;
  find("ahead").textContent = note;
}

function sleep(milliseconds, signal) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
