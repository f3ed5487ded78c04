// Sends scans to the server, two at a time; one that is refused does not stop the others.
import * as api from "./api.js";
import { bodyOf } from "./scan.js";

const MOST_AT_ONCE = 2;
const MOST_LOST = 3;
const LOST_SECONDS = 5;

export class Sender {
  sends = [];
  #number = 0;
  #active = 0;
  #paused = false;
  #on;

  // `on` has three functions: `change` after any change, `sent` with the new job and its name, `denied` if the token is refused.
  constructor(on) {
    this.#on = on;
  }

  get busy() {
    return this.sends.some(({ id, state }) => !id && state !== "refused");
  }

  add(scans) {
    const sends = scans.map((scan) => ({ key: `send-${(this.#number += 1)}`, ...scan, state: "waiting", id: null, stop: new AbortController() }));
    this.sends.push(...sends);
    this.#next();
    this.#on.change();
    return sends;
  }

  remove(key) {
    const send = this.sends.find((other) => other.key === key);
    send?.stop.abort();
    this.sends = this.sends.filter((other) => other !== send);
    this.#on.change();
  }

  // Drops what is known of a scan whose job is gone.
  forget(id) {
    this.sends = this.sends.filter((send) => send.id !== id);
  }

  resume() {
    this.#paused = false;
    this.#next();
  }

  #next() {
    while (!this.#paused && this.#active < MOST_AT_ONCE) {
      const send = this.sends.find(({ state }) => state === "waiting");
      if (!send) return;
      this.#active += 1;
      this.#send(send).finally(() => {
        this.#active -= 1;
        this.#next();
        this.#on.change();
      });
    }
  }

  async #send(send) {
    try {
      this.#tell(send, { state: "reading" });
      const job = await this.#uploaded(send, await bodyOf(send));
      this.#tell(send, { state: "sent", id: job.id, files: null });
      this.#on.sent(job, send.name);
    } catch (error) {
      if (send.stop.signal.aborted) return;
      if (error.status === 401) {
        this.#paused = true;
        this.#tell(send, { state: "waiting" });
        this.#on.denied(error);
      } else this.#tell(send, { state: "refused", message: error.message });
    }
  }

  async #uploaded(send, body) {
    const { signal } = send.stop;
    const key = randomKey();
    for (let lost = 0; ;) {
      signal.throwIfAborted();
      try {
        this.#tell(send, { state: "sending", progress: 0 });
        return await api.upload(body, { key, signal, onProgress: (progress) => this.#tell(send, { progress }) });
      } catch (error) {
        lost += error instanceof api.Unreachable;
        if (error.status !== 503 && (!(error instanceof api.Unreachable) || lost > MOST_LOST)) throw error;
        await this.#countDown(send, error);
      }
    }
  }

  async #countDown(send, error) {
    const message = error.status === 503 ? "The server is busy." : error.message;
    for (let seconds = error.seconds ?? LOST_SECONDS; seconds > 0; seconds -= 1) {
      send.stop.signal.throwIfAborted();
      this.#tell(send, { state: "busy", message, seconds });
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  #tell(send, news) {
    Object.assign(send, news);
    this.#on.change();
  }
}

// Not randomUUID, which browsers offer over https only.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
