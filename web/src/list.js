// Draws the list of jobs, changing only what differs, so that the keyboard's place is kept.
import { find, make } from "./dom.js";
import { deletedOf, finishedOf, summary } from "./jobs.js";

const LEAST_FINISHED = 2;

const drawn = new Map();
const visible = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target.dataset.key);
    else visible.delete(target.dataset.key);
  }
  if (entries.some(({ isIntersecting }) => isIntersecting)) onSight();
});
let onSight = () => {};

export const isVisible = (key) => visible.has(key);
export const listenToSight = (act) => { onSight = act; };

// `actions` has a function for each name of a row's action, and `open`, which are given the row; and one for each button
// of the whole list. `left` counts the jobs that were not deleted together with the others.
export function drawList(rows, actions, left = 0) {
  find("jobs").hidden = rows.length === 0;
  write(find("jobs-summary"), summary(rows, left));
  const keys = new Set(rows.map(({ key }) => key));
  for (const [key, parts] of drawn) if (!keys.has(key)) remove(key, parts);
  for (const [index, row] of rows.entries()) {
    const parts = drawn.get(row.key) ?? create(row.key);
    update(parts, row, actions);
    const here = find("jobs-list").children[index];
    if (here !== parts.item) find("jobs-list").insertBefore(parts.item, here ?? null);
  }
  drawButtons(rows, actions);
}

function drawButtons(rows, actions) {
  const offered = { "undo-all": deletedOf(rows).length > 0, "delete-finished": finishedOf(rows).length >= LEAST_FINISHED };
  const focused = document.activeElement;
  for (const [id, isOffered] of Object.entries(offered)) Object.assign(find(id), { hidden: !isOffered, onclick: actions[id] });
  if (offered[focused?.id] !== false) return;
  (document.querySelector("#jobs-all button:not([hidden]), #jobs-list .action") ?? find("file")).focus();
}

export const focusAction = (key) => drawn.get(key)?.action.focus();
export const focusName = (key) => drawn.get(key)?.name.focus();

function create(key) {
  const parts = {
    picture: make("img", { alt: "", hidden: true }),
    name: make("button", { type: "button", className: "name" }),
    text: make("p", { className: "text" }),
    progress: make("progress", { max: 1 }),
    age: make("time", { className: "soft" }),
    action: make("button", { type: "button", className: "action" }),
  };
  const words = make("div", { className: "words" }, parts.name, parts.text, parts.progress);
  parts.item = make("li", { className: "job" }, make("div", { className: "picture" }, parts.picture), words, parts.age, parts.action);
  parts.item.dataset.key = key;
  drawn.set(key, parts);
  observer.observe(parts.item);
  return parts;
}

function update(parts, row, actions) {
  parts.item.dataset.state = row.state;
  if (row.picture && parts.picture.src !== row.picture) parts.picture.src = row.picture;
  parts.picture.hidden = !row.picture;
  write(parts.name, row.name);
  parts.name.disabled = !row.opens;
  parts.name.onclick = () => actions.open(row);
  write(parts.text, row.text);
  parts.progress.hidden = row.progress === undefined;
  parts.progress.value = row.progress ?? 0;
  parts.progress.ariaLabel = `Progress of ${row.name}`;
  write(parts.age, row.age ?? "");
  parts.age.dateTime = row.created ?? "";
  parts.age.title = row.created ? new Date(row.created).toLocaleString() : "";
  write(parts.action, row.action);
  parts.action.ariaLabel = `${row.action} ${row.name}`;
  parts.action.onclick = () => actions[row.action](row);
}

function remove(key, { item }) {
  const next = item.nextElementSibling ?? item.previousElementSibling;
  const focused = item.contains(document.activeElement);
  observer.unobserve(item);
  visible.delete(key);
  item.remove();
  drawn.delete(key);
  if (focused) (next?.querySelector(".action") ?? find("file")).focus();
}

// Text is replaced only if it differs, or a screen reader would read it out at every poll.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
