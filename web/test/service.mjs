// Stands in for the service in node: finished jobs and a study's case, all with one scan of 4 x 4 x 4 voxels.
const SHAPE = [4, 4, 4];
const COUNT = 64;

export const ID = "0123456789abcdef";
export const CASE = "sub-1_T1w";
export const shaOf = (number) => String(number).repeat(64);

function volume(kind, values) {
  const bits = 8 * values.BYTES_PER_ELEMENT;
  const view = new DataView(new ArrayBuffer(352 + values.byteLength));
  view.setInt32(0, 348, true);
  [3, ...SHAPE, 1, 1, 1, 1].forEach((length, at) => view.setInt16(40 + 2 * at, length, true));
  view.setInt16(70, kind, true);
  view.setInt16(72, bits, true);
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setInt16(254, 1, true);
  [0, 1, 2].forEach((axis) => view.setFloat32(280 + 20 * axis, 1, true));
  new Uint8Array(view.buffer).set([0x6e, 0x2b, 0x31, 0], 344);
  new Uint8Array(view.buffer).set(new Uint8Array(values.buffer), 352);
  return view.buffer;
}

const FILES = {
  mask: volume(2, new Uint8Array(COUNT)),
  prob: volume(16, Float32Array.from({ length: COUNT }, (_, index) => index / COUNT)),
};

export class Service {
  token = "token-1";
  requests = [];
  saved = 0;
  refusals = []; // [status, message] for the next masks, which are not taken
  held = null; // a promise for which the answer to a mask waits
  late = null; // a promise for which the present answer about a job waits
  jobs = [ID];

  constructor() {
    globalThis.fetch = (path, options = {}) => this.#answer(path, options);
  }

  get puts() {
    return this.requests.filter(({ method }) => method === "PUT");
  }

  // How often a job was asked for.
  get looks() {
    return this.requests.filter(({ method, path }) => method === "GET" && /^v1\/jobs\/\w+$/.test(path)).length;
  }

  get #record() {
    return {
      volume_ml: 1 + this.saved, lesion_count: 1, lesions: [], confidence: {}, flags: [], threshold: 0.5, files: {},
      scan: { shape: SHAPE, spacing_mm: [1, 1, 1] }, sha256: { mask: shaOf(this.saved) },
      provenance: { weights: { name: "none" }, inference: { min_lesion_ml: 0, least_chance: 0 } },
    };
  }

  async #answer(path, { method = "GET", headers }) {
    const sent = new Headers(headers); // which, like a browser, takes no typographic characters
    this.requests.push({ method, path, match: sent.get("If-Match") });
    if (sent.get("Authorization") !== `Bearer ${this.token}`) return refusal(401, "the token is wrong; send the header Authorization: Bearer TOKEN");
    if (method === "PUT") return this.#put(sent.get("If-Match"));
    if (method === "DELETE") return new Response(null, { status: 204 });
    const part = /\/result\/(mask|prob)$|^(mask|prob)$/.exec(path);
    if (part) return new Response(FILES[part[1] ?? part[2]]);
    if (path === `study/cases/${CASE}.json`) return Response.json({ record: "record", mask: "mask", prob: "prob", mask_sha256: shaOf(this.saved), save: "save" });
    if (path === "record") return Response.json(this.#record);
    if (path === "v1/jobs") return Response.json(this.jobs.map((id) => this.#job(id)));
    if (/^v1\/jobs\/\w+$/.test(path)) {
      const answer = Response.json({ ...this.#job(path.split("/")[2]), record: this.#record });
      await this.late;
      return answer;
    }
    return refusal(404, "there is no such thing");
  }

  #job(id) {
    return { id, state: "done", step: "done", progress: 1, ahead: 0, created: "2026-11-28T11:57:30+00:00", expires: "2026-11-29T11:57:30+00:00" };
  }

  async #put(match) {
    await this.held;
    if (this.refusals.length > 0) return refusal(...this.refusals.shift());
    if (match && match !== `"${shaOf(this.saved)}"`) return refusal(412, "the mask of this scan was changed since it was loaded");
    this.saved += 1;
    return Response.json(this.#record);
  }
}

const refusal = (status, message) => Response.json({ error: { message } }, { status });
