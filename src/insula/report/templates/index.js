"use strict";
// Review of a study: filters, keys and verdicts. The browser keeps the verdicts until they are exported or, on a page that
// insula serves, until the service has them.
(() => {
  const COLUMNS = ["case", "rater", "verdict", "note", "reviewed", "mask_sha256"];
  const MAY_BE_EMPTY = ["verdict", "note", "mask_sha256"];
  const VERDICTS = ["pass", "fix", "fail"];
  const KEYS = { p: "pass", x: "fix", f: "fail" };
  const PREFIX = "insula-review-";
  const find = (id) => document.getElementById(id);
  const board = find("board"), rater = find("rater"), filter = find("filter"), search = find("search"), dialog = find("dialog");
  const store = PREFIX + board.dataset.study;
  const served = "served" in board.dataset;
  let recorded = JSON.parse(find("reviews").textContent);
  const rows = [...board.rows];
  const judged = rows.filter((row) => row.dataset.outcome === "done");
  const names = new Set(rows.map((row) => row.dataset.case));
  const idOf = (entry) => JSON.stringify([entry.case, entry.rater]);
  const name = () => clean(rater.value);
  const clean = (text) => text.replaceAll('"', "'").replace(/\s+/g, " ").trim();
  let kept = new Map();  // this browser's entries, by case and rater
  let byCase = new Map();  // case -> the newest entry of each rater, recorded or kept; the newest first
  let current = null;
  const undoable = [];  // [id, entry before]

  // What the browser keeps
  function read(key) {
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  }

  function write(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { if (!served) say("This browser keeps nothing: export before you close the page."); }
  }

  function load() {
    const entries = read(store) ?? fromEarlier();
    kept = new Map(entries.map((entry) => [idOf(entry), entry]));
    draw();
  }

  // A study that has grown has another key: verdicts on masks that are still the same come along.
  function fromEarlier() {
    const masks = new Map(rows.map((row) => [row.dataset.case, row.dataset.mask]));
    let keys = [];
    try { keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)); } catch { return []; }
    const entries = keys.flatMap((key) => read(key) ?? []);
    return [...newest(entries.filter((entry) => masks.get(entry.case) === entry.mask_sha256)).values()];
  }

  function newest(entries) {
    const result = new Map();
    for (const entry of entries) {
      const known = result.get(idOf(entry));
      if (!known || Date.parse(entry.reviewed) >= Date.parse(known.reviewed)) result.set(idOf(entry), entry);
    }
    return result;
  }

  const isPresent = (row, entry) => entry.mask_sha256 === row.dataset.mask;
  const entriesOf = (row) => byCase.get(row.dataset.case) ?? [];
  const ownEntryOf = (row) => entriesOf(row).find((entry) => entry.rater === name());

  // The rater's own entry; without a rater's name, the latest of all on the present mask.
  function entryOf(row) {
    if (name()) return ownEntryOf(row);
    const entries = entriesOf(row).filter((entry) => entry.verdict);
    return entries.find((entry) => isPresent(row, entry)) ?? entries[0];
  }

  function verdictOf(row) {
    const entry = entryOf(row);
    return entry?.verdict && !isPresent(row, entry) ? "outdated" : entry?.verdict ?? "";
  }

  function judge(row, change) {
    if (!row || row.dataset.outcome !== "done") return;
    if (!name()) {
      rater.focus();
      return say("Type your name or initials first; every verdict carries them.");
    }
    const before = ownEntryOf(row);
    const base = before && isPresent(row, before) ? before : { verdict: "", note: "" };
    const entry = { ...base, ...change, case: row.dataset.case, rater: name(), reviewed: new Date().toISOString(), mask_sha256: row.dataset.mask };
    undoable.push([idOf(entry), served ? before : kept.get(idOf(entry))]);
    kept.set(idOf(entry), entry);
    say("");
    write(store, [...kept.values()]);
    draw([row]);
    send();
  }

  function undo() {
    const [id, before] = undoable.pop() ?? [];
    if (!id) return;
    if (served) kept.set(id, again(id, before));
    else if (before) kept.set(id, before);
    else kept.delete(id);
    write(store, [...kept.values()]);
    send();
    const row = rows.find((each) => each.dataset.case === JSON.parse(id)[0]);
    draw([row]);
    go(row);
  }

  // The service keeps the newest entry: what was said before is said again, and an empty entry withdraws.
  function again(id, before) {
    const [name, by] = JSON.parse(id), now = { reviewed: new Date().toISOString() };
    return { case: name, rater: by, verdict: "", note: "", mask_sha256: kept.get(id)?.mask_sha256 ?? "", ...before, ...now };
  }

  async function writeNote(row) {
    if (!row || row.dataset.outcome !== "done" || !name()) return judge(row, {});
    const text = dialog.querySelector("textarea"), entry = ownEntryOf(row);
    dialog.querySelector("b").textContent = row.dataset.case;
    text.value = entry && isPresent(row, entry) ? entry.note : "";
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "keep") judge(row, { note: clean(text.value) });
      go(row);
    };
    dialog.showModal();
  }

  function matches(row) {
    const verdict = verdictOf(row), refused = row.dataset.outcome === "refused";
    const open = !refused && !VERDICTS.includes(verdict), warnings = row.dataset.warnings !== "0";
    const kinds = { all: true, open, refused, warnings, fail: verdict === "fail", fix: verdict === "fix" };
    return kinds[filter.value] && row.dataset.case.toLowerCase().includes(search.value.trim().toLowerCase());
  }

  function draw(changed = judged) {
    byCase = new Map();
    for (const entry of newest([...recorded, ...kept.values()]).values()) {
      if (!entry.verdict && !entry.note) continue;
      byCase.set(entry.case, [...(byCase.get(entry.case) ?? []), entry].sort((a, b) => Date.parse(b.reviewed) - Date.parse(a.reviewed)));
    }
    changed.forEach(drawVerdict);
    for (const row of rows) row.hidden = !matches(row) && row !== current;  // the current case stays: no key hits another
    find("progress").textContent = `${judged.filter((row) => VERDICTS.includes(verdictOf(row))).length} of ${judged.length} reviewed`;
    find("undo").disabled = !undoable.length;
    if (!served) find("export").disabled = !kept.size;
    else find("saving").textContent = kept.size ? `${kept.size} to be saved` : "All verdicts are saved.";
    if (served) find("table").hidden = !recorded.length;
  }

  function drawVerdict(row) {
    const own = name() ? entryOf(row) : undefined, verdict = verdictOf(row);
    // Raters judge independently: what others said shows once the rater has a verdict, or if nobody is rating.
    const others = !name() || VERDICTS.includes(verdict) ? entriesOf(row).filter((entry) => entry.rater !== name()) : [];
    const lines = [...(own ? [own] : []), ...others].map((entry) => {
      const present = isPresent(row, entry), line = element("p", entry === own ? "" : `${entry.rater}: `);
      const word = entry.verdict && !present ? `${entry.verdict}, out of date` : entry.verdict;
      line.append(element("span", word, `verdict ${present ? entry.verdict : "outdated"}`), entry.note ? ` ${entry.note}` : "");
      return line;
    });
    const buttons = VERDICTS.map((value) => button(value, row, () => judge(row, { verdict: value })));
    buttons.forEach((each) => each.setAttribute("aria-pressed", String(Boolean(name()) && verdict === each.textContent)));
    row.querySelector(".verdicts").replaceChildren(...buttons, button("note", row, () => writeNote(row)), ...lines);
  }

  function button(text, row, act) {
    const made = Object.assign(element("button", text), { type: "button", onclick: () => { go(row); act(); } });
    made.setAttribute("aria-label", `${text}: ${row.dataset.case}`);
    return made;
  }

  const element = (tag, text, style = "") => Object.assign(document.createElement(tag), { textContent: text, className: style });

  function go(row) {
    if (!row) return;
    current?.removeAttribute("aria-current");
    current = row;
    row.setAttribute("aria-current", "true");
    row.tabIndex = -1;
    draw([]);
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    try { sessionStorage.setItem(store, row.dataset.case); } catch { /* only the place in the table is lost */ }
  }

  function move(step) {
    let place = current ? rows.indexOf(current) + step : step > 0 ? 0 : rows.length - 1;
    while (rows[place] && !matches(rows[place])) place += step;
    go(rows[place]);
  }

  function refilter() {
    current?.removeAttribute("aria-current");
    current = null;
    draw([]);
  }

  function say(text) {
    find("message").textContent = text;
    find("message").hidden = !text;
  }

  // Served: entries are sent until the service has taken them, and those of others are fetched
  let sending = false, retry = 0, tag = "", most = 500, leaving = false, told = "";
  const refused = new Set();  // of single entries, so that one of them never holds up the others
  const token = () => { try { return sessionStorage.getItem("insula.token"); } catch { return null; } };

  async function send() {
    clearTimeout(retry);
    const entries = [...kept.values()].filter((entry) => names.has(entry.case) && !refused.has(entry)).slice(0, most);
    if (!served || sending || !entries.length) return;
    sending = true;
    let trouble = "The service cannot be reached.", final = false;
    try {
      const response = await fetch("verdicts", { method: "POST", headers: { Authorization: `Bearer ${token()}` }, body: JSON.stringify(entries) });
      if (response.status === 401) {
        leaving = true;
        return location.assign("enter");
      }
      const answer = await response.json();
      trouble = response.ok ? "" : answer.error.message;
      final = response.status === 422;
      if (response.ok) taken(entries, answer.reviews);
    } catch { /* the service is away: sent again later */ } finally {
      sending = false;
    }
    if (final && entries.length === 1) refused.add(entries[0]);
    if (final) most = 1;
    if (trouble) say(`${trouble.replace(/\.$/, "")}. ${final ? "Not saved." : "This browser keeps the verdicts and sends them again."}`);
    if (trouble && (!final || entries.length > 1)) told = find("message").textContent;
    if (trouble && !final) retry = setTimeout(send, 5000);
    else send();
  }

  function taken(entries, reviews) {
    recorded = reviews;
    if (find("message").textContent === told) say("");  // other messages stay
    for (const entry of entries) if (kept.get(idOf(entry))?.reviewed === entry.reviewed) kept.delete(idOf(entry));
    write(store, [...kept.values()]);
    draw();
    const lost = notTaken(entries), cases = lost.slice(0, 3).map((entry) => entry.case).join(", ");
    const more = lost.length > 3 ? ` and ${lost.length - 3} more` : "";
    if (lost.length) say(`Not saved for ${cases}${more}: the service has a later entry of the same rater; if this computer's clock is slow, set it and judge again.`);
  }

  // The service keeps the later of two entries, and what is said in both is not lost.
  function notTaken(entries) {
    const answered = new Map(recorded.map((entry) => [idOf(entry), entry]));
    return entries.filter((entry) => {
      const other = answered.get(idOf(entry));
      const differs = other && MAY_BE_EMPTY.some((column) => clean(other[column]) !== clean(entry[column]));
      return differs && Date.parse(other.reviewed) > Date.parse(entry.reviewed);
    });
  }

  async function fetchOthers() {
    if (document.hidden || sending) return;
    const asked = recorded, headers = { "If-None-Match": tag, Authorization: `Bearer ${token()}` };
    const response = await fetch("live", { headers, cache: "no-store" }).catch(() => null);
    if (response?.status !== 200) return;
    const { reviews, masks } = await response.json();
    if (recorded !== asked || sending) return; // a verdict was sent meanwhile, and the answer may not have it
    tag = response.headers.get("ETag");
    recorded = reviews;
    draw();
    const same = rows.length === Object.keys(masks).length && rows.every((row) => masks[row.dataset.case] === row.dataset.mask);
    if (!same) say("Cases or masks have changed: load the page again to see them.");
  }

  function serve() {
    if (!token()) return location.replace("enter");
    send();
    fetchOthers();
    setInterval(fetchOthers, 5000);
    document.addEventListener("visibilitychange", fetchOthers);
    addEventListener("beforeunload", (event) => { if (kept.size && !leaving) event.preventDefault(); });
  }

  function exportTable() {
    const lines = [COLUMNS, ...[...kept.values()].map((entry) => COLUMNS.map((column) => clean(entry[column])))];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.map((cells) => cells.join("\t") + "\n").join("")], { type: "text/tab-separated-values" }));
    link.download = `review_${(name() || "all").replace(/[^\p{L}\p{N}-]+/gu, "-")}.tsv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  function parse(text) {
    const [head, ...lines] = text.replace(/^\uFEFF/, "").split(/\r?\n/).filter((line) => line.trim());
    const columns = (head ?? "").split("\t");
    const missing = COLUMNS.find((column) => !columns.includes(column));
    if (missing) throw new Error(`has no column ${missing}`);
    return lines.map((line, at) => {
      const cells = line.split("\t").map((cell, at) => (cell === "n/a" && MAY_BE_EMPTY.includes(columns[at]) ? "" : cell));
      const entry = Object.fromEntries(COLUMNS.map((column) => [column, cells[columns.indexOf(column)] ?? ""]));
      const wrong = !entry.case ? "case" : !entry.rater ? "rater" : Number.isNaN(Date.parse(entry.reviewed)) ? "reviewed"
        : entry.verdict && !VERDICTS.includes(entry.verdict) ? "verdict" : "";
      if (wrong || cells.length !== columns.length) throw new Error(`is malformed in row ${at + 1}, column ${wrong || "count"}`);
      return entry;
    });
  }

  async function importTable(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      const entries = parse(await file.text()), known = entries.filter((entry) => names.has(entry.case));
      kept = newest([...kept.values(), ...known]);
      write(store, [...kept.values()]);
      draw();
      send();
      say(known.length < entries.length ? `${entries.length - known.length} verdicts are on cases of another study and were left out.` : "");
    } catch (error) {
      say(`${file.name} ${error.message}. Nothing was imported.`);
    }
    input.value = "";
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const at = event.target.closest?.("input, select, textarea, button, a");
    if (at && (at.matches("input, select, textarea") || event.key === "Enter")) return;
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    if (steps[event.key]) move(steps[event.key]);
    else if (KEYS[event.key]) judge(current, { verdict: KEYS[event.key] });
    else if (event.key === "n") writeNote(current);
    else if (event.key === "u") undo();
    else if (event.key === "Enter" && current?.querySelector("a")) location.assign(current.querySelector("a").href);
    else return;
    event.preventDefault();
  });
  board.addEventListener("click", (event) => { if (!event.target.closest("a, button")) go(event.target.closest("tr")); });
  rater.addEventListener("input", () => { write("insula-rater", name()); say(""); draw(); });
  filter.addEventListener("change", refilter);
  search.addEventListener("input", refilter);
  find("undo").addEventListener("click", undo);
  find("export")?.addEventListener("click", exportTable);
  find("import").addEventListener("change", (event) => importTable(event.target));
  addEventListener("storage", (event) => { if (event.key === store) load(); });
  addEventListener("pageshow", (event) => { if (event.persisted) load(); });

  rater.value = read("insula-rater") ?? "";
  find("controls").hidden = find("keys").hidden = false;
  load();
  if (served) serve();
  try { go(rows.find((row) => row.dataset.case === sessionStorage.getItem(store))); } catch { /* begin at the top */ }
})();
