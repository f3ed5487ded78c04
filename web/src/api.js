// The server's API. Every call sends the token; every refusal carries the server's message.
import { token } from "./session.js";

export class Refusal extends Error {
  constructor(status, body, retryAfter) {
    super(message(body) ?? `The server answered ${status}.`);
    this.status = status;
    this.seconds = Math.max(1, Number(retryAfter) || 10);
  }
}

export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

export class UnusableToken extends Error {
  status = 401;

  constructor() {
    super("The token contains a character that no token has; copy it again, or type it.");
  }
}

function message(body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return null;
  }
}

// Browsers cannot send any other character in a header.
const SENDABLE = /^[\t\x20-\x7e\x80-\xff]*$/;

function bearer() {
  if (!SENDABLE.test(token.get())) throw new UnusableToken();
  return `Bearer ${token.get()}`;
}

async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { Authorization: bearer(), ...options.headers }, cache: "no-store" }).catch(lost);
  if (!response.ok) throw new Refusal(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

function lost(error) {
  throw error instanceof TypeError ? new Unreachable() : error;
}

export const job = async (id, signal) => (await call(`v1/jobs/${id}`, { signal })).json();
export const file = async (id, name, signal) => (await call(`v1/jobs/${id}/result${name && `/${name}`}`, { signal })).blob();
export const get = (path, signal) => call(path, { signal });
// `before` is the SHA-256 of the mask that was edited, if it is known: the server replaces no other one.
export async function saveMask(path, body, before) {
  const headers = before ? { "If-Match": `"${before}"` } : {};
  return (await call(path, { method: "PUT", body, headers })).json();
}
export const jobs = async () => (await call("v1/jobs")).json();
export const thumbnail = async (id) => (await call(`v1/jobs/${id}/thumbnail`)).blob();
export const remove = (id, undoSeconds) => call(`v1/jobs/${id}?undo_seconds=${undoSeconds}`, { method: "DELETE" });
export const restore = async (id) => (await call(`v1/jobs/${id}/restore`, { method: "POST" })).json();

// Uses XMLHttpRequest, since fetch does not report the progress of an upload. Sending again under the same key makes no second job.
export function upload(body, { key, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/segment");
    request.setRequestHeader("Authorization", bearer());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(new Refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new Unreachable());
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}
