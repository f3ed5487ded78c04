// The page's jobs: sends scans, follows the server's list, deletes and restores.
import * as api from "./api.js";
import { Deletions } from "./deletions.js";
import { find, say } from "./dom.js";
import { isUnsaved } from "./edit-save.js";
import { deletedOf, finishedOf, isOver, merged, rowsOf, unsavedOf } from "./jobs.js";
import { drawList, focusAction, focusName, isVisible, listenToSight } from "./list.js";
import { Sender } from "./run.js";
import { scansOf } from "./scan.js";
import { names } from "./session.js";

const ACTIVE_MS = 700;
const IDLE_MS = 10_000;
const LOST_MS = 2000;

export class Workbench {
  #jobs = [];
  #deletions;
  #details = new Map();
  #sender;
  #on;
  #timer = null;
  #turn = 0;
  #frame = null;
  #awaited = null;
  #left = 0; // by "Delete all finished"

  // `on` has three functions: `open` with the id of a finished job, `gone` with that of a deleted one, `trouble` with an error.
  constructor(on) {
    this.#on = on;
    this.#sender = new Sender({
      change: () => this.#draw(),
      sent: (job, name) => this.#sent(job, name),
      denied: on.trouble,
    });
    this.#deletions = new Deletions({ change: () => this.#draw(), over: (id) => this.#forget(id) });
    listenToSight(() => this.#lookUp());
    addEventListener("beforeunload", (event) => {
      if (this.#sender.busy || this.#deletions.busy) event.preventDefault();
    });
  }

  start() {
    this.#sender.resume();
    this.#follow();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#turn += 1;
  }

  async add(chosen) {
    const idle = !this.#sender.busy && this.#jobs.every(isOver);
    const scans = await scansOf(await chosen);
    if (scans.length === 0) throw new Error("The selection contains no files.");
    const [first] = this.#sender.add(scans);
    this.#awaited = idle && scans.length === 1 ? first : null;
  }

  // Reads a job's figures and thumbnail again: its result may have been corrected.
  renew(id) {
    URL.revokeObjectURL(this.#details.get(id)?.picture);
    this.#details.delete(id);
    this.#draw();
    this.#lookUp();
  }

  focus(id) {
    this.#drawNow();
    focusName(this.#keyOf(id));
  }

  // Deletes a job. The server does so by itself once it cannot be undone any more, even if this page is closed.
  discard(id) {
    const answer = this.#discardAll([id]);
    focusAction(this.#keyOf(id));
    return answer;
  }

  #discardAll(ids, left = 0) {
    this.#awaited = null;
    this.#left = left;
    const answers = ids.map((id) => this.#deletions.add(id));
    this.#drawNow();
    return this.#answered(answers);
  }

  #restoreAll(ids) {
    this.#left = 0;
    return this.#answered(ids.map((id) => this.#deletions.restore(id)));
  }

  // A list that was read meanwhile may lack the jobs that are there after all.
  async #answered(answers) {
    const failed = (await Promise.allSettled(answers)).find(({ status }) => status === "rejected");
    if (failed?.reason.status !== 401) this.#follow();
    if (failed) throw failed.reason;
  }

  #forget(id) {
    this.#jobs = this.#jobs.filter((job) => job.id !== id);
    this.#sender.forget(id);
    this.#on.gone(id);
    this.#keepNames();
    this.renew(id);
  }

  #sent(job, name) {
    names.set(job.id, name);
    this.#jobs = [job, ...this.#jobs];
    this.#follow();
  }

  // Of several calls at once, only the latest counts: an earlier one may not know the latest job.
  async #follow() {
    clearTimeout(this.#timer);
    const turn = (this.#turn += 1);
    let [error, jobs] = [null, null];
    try {
      jobs = await api.jobs();
    } catch (failure) {
      error = failure;
    }
    if (turn !== this.#turn) return;
    if (error?.status === 401) return this.#on.trouble(error);
    find("jobs-lost").hidden = !error;
    if (jobs) this.#take(jobs);
    this.#timer = setTimeout(() => this.#follow(), error ? LOST_MS : this.#waits ? ACTIVE_MS : IDLE_MS);
  }

  #take(jobs) {
    this.#jobs = merged(this.#jobs, jobs, this.#deletions);
    this.#keepNames();
    this.#draw();
    this.#openAwaited();
    this.#lookUp();
  }

  get #waits() {
    return this.#sender.busy || this.#jobs.some((job) => !isOver(job) && !this.#deletions.has(job.id));
  }

  #keepNames() {
    names.keepOnly(new Set([...this.#jobs, ...this.#sender.sends].map(({ id }) => id)));
  }

  // A scan that was sent by itself is shown as soon as it is done, unless another page section is open by then.
  #openAwaited() {
    const job = this.#jobs.find(({ id }) => id === this.#awaited?.id);
    if (!job || !isOver(job)) return;
    this.#awaited = null;
    if (job.state === "done" && !find("intake").hidden) this.#on.open(job.id);
  }

  async #lookUp() {
    for (const { key, id, opens } of this.#rows()) {
      if (!opens || !isVisible(key) || this.#details.has(id)) continue;
      const detail = {};
      this.#details.set(id, detail);
      try {
        const [{ record }, picture] = await Promise.all([api.job(id), pictureOf(id)]);
        Object.assign(detail, { record, picture });
        if (this.#details.get(id) !== detail) URL.revokeObjectURL(picture); // renewed meanwhile
      } catch {
        if (this.#details.get(id) === detail) this.#details.delete(id); // the next poll tries again
      }
      this.#draw();
    }
  }

  // Progress comes far more often than the screen is drawn.
  #draw() {
    this.#frame ??= requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const rows = this.#rows();
    drawList(rows, {
      open: ({ id }) => this.#on.open(id),
      Remove: ({ key }) => this.#sender.remove(key),
      Cancel: ({ key, id }) => (id ? this.#try(this.discard(id)) : this.#sender.remove(key)),
      Delete: ({ id }) => this.#try(this.discard(id)),
      Undo: ({ id }) => this.#try(this.#restoreAll([id])),
      "delete-finished": () => this.#try(this.#discardFinished()),
      "undo-all": () => this.#try(this.#restoreAll(deletedOf(rows).map(({ id }) => id))),
    }, Math.min(this.#left, unsavedOf(rows).length));
  }

  #discardFinished() {
    const rows = this.#rows();
    return this.#discardAll(finishedOf(rows).map(({ id }) => id), unsavedOf(rows).length);
  }

  #keyOf(id) {
    return this.#rows().find((row) => row.id === id)?.key;
  }

  #rows() {
    return rowsOf({ sends: this.#sender.sends, jobs: this.#jobs, deleted: this.#deletions, names, details: this.#details, isUnsaved });
  }

  #try(promise) {
    say("");
    promise.catch(this.#on.trouble);
  }
}

async function pictureOf(id) {
  try {
    return URL.createObjectURL(await api.thumbnail(id));
  } catch (error) {
    if (error.status !== 404) throw error;
    return undefined; // reports of earlier versions have no thumbnail
  }
}
