// Finds and creates elements, and shows one section at a time.
import { sentence } from "./words.js";

const SECTIONS = ["access", "intake", "result"];

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function show(section) {
  for (const id of SECTIONS) find(id).hidden = id !== section;
}

export function say(trouble) {
  find("trouble").replaceChildren(...(trouble ? [make("p", { className: "trouble" }, sentence(trouble))] : []));
  find("trouble").scrollIntoView({ block: "nearest" });
}
