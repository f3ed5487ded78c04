// The deletions that can still be undone. A job counts as deleted before the server has answered, so that a list
// without it, read meanwhile, takes no row away.
import * as api from "./api.js";

const UNDO_SECONDS = 10;
const SLACK_SECONDS = 5; // in which the server still takes the page's last-moment undo
const MOST_AT_ONCE = 3;

export class Deletions {
  #all = new Map();
  #waiting = [];
  #active = 0;
  #on;

  // `on` has two functions: `change` after any change, `over` with the id of a job that cannot be restored any more.
  constructor(on) {
    this.#on = on;
  }

  has(id) {
    return this.#all.has(id);
  }

  get busy() {
    return this.#active > 0;
  }

  // Fails if the server does not delete the job, which is then as before.
  async add(id) {
    if (this.has(id)) return;
    const deletion = { undone: false, timer: null };
    deletion.sent = this.#inTurn(async () => !deletion.undone && api.remove(id, UNDO_SECONDS + SLACK_SECONDS));
    this.#all.set(id, deletion);
    this.#on.change();
    try {
      if (await deletion.sent) deletion.timer = this.#endAfter(id, UNDO_SECONDS);
    } catch (error) {
      this.#end(id);
      throw error;
    }
  }

  // One that was not sent yet is not sent.
  async restore(id) {
    const deletion = this.#all.get(id);
    if (!deletion || deletion.undone) return;
    deletion.undone = true;
    const sent = await deletion.sent.catch(() => false);
    clearTimeout(deletion.timer);
    try {
      if (sent) await this.#inTurn(() => api.restore(id));
    } catch (error) {
      deletion.undone = false;
      deletion.timer = this.#endAfter(id, error.status === 404 ? 0 : SLACK_SECONDS);
      throw error;
    }
    this.#end(id);
  }

  #end(id) {
    this.#all.delete(id);
    this.#on.change();
  }

  #endAfter(id, seconds) {
    return setTimeout(() => {
      this.#all.delete(id);
      this.#on.over(id);
    }, 1000 * seconds);
  }

  #inTurn(request) {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => request().then(resolve, reject));
      this.#next();
    });
  }

  #next() {
    while (this.#active < MOST_AT_ONCE && this.#waiting.length > 0) {
      this.#active += 1;
      this.#waiting.shift()().finally(() => {
        this.#active -= 1;
        this.#next();
      });
    }
  }
}
