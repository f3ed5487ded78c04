// Stands in for a browser in node, for tests of what the page says and sends: elements exist once they are looked for.
class Element extends EventTarget {
  children = [];
  dataset = {};
  style = {};
  classList = { add: () => {}, remove: () => {} };
  hidden = false;
  value = "";
  #own = "";
  #found = {};

  get textContent() {
    return this.#own + this.children.map((child) => child.textContent ?? child).join("");
  }

  set textContent(text) {
    this.#own = text;
    this.children = [];
  }

  get valueAsNumber() {
    return Number(this.value);
  }

  append(...children) {
    this.children.push(...children);
    for (const child of children) if (child instanceof Element) child.parent = this;
  }

  replaceChildren(...children) {
    this.textContent = "";
    this.append(...children);
  }

  insertBefore(child, next) {
    child.remove();
    const at = this.children.indexOf(next);
    this.children.splice(at < 0 ? this.children.length : at, 0, child);
    child.parent = this;
  }

  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((child) => child !== this);
  }

  contains(other) {
    return this === other || this.children.some((child) => child instanceof Element && child.contains(other));
  }

  querySelector(selector) {
    return (this.#found[selector] ??= new Element());
  }

  querySelectorAll = () => [];
  setAttribute = () => {};
  scrollIntoView = () => {};
  getContext = () => null; // without WebGL2
  focus() {
    document.activeElement = this;
  }
}

class Entries {
  #all = [null];
  #at = 0;

  get state() {
    return this.#all[this.#at];
  }

  replaceState(state) {
    this.#all[this.#at] = state;
  }

  pushState(state) {
    this.#all = [...this.#all.slice(0, (this.#at += 1)), state];
  }

  back() {
    setTimeout(() => {
      this.#at -= 1;
      globalThis.dispatchEvent(new Event("popstate"));
    }, 0);
  }
}

// Returns a function that gives an element by its id. Rows of the list are in sight as soon as they are drawn.
export function openDocument({ search = "", hash = "" } = {}) {
  const elements = {};
  const find = (id) => (elements[id] ??= new Element());
  const window = new EventTarget();
  const stored = {};
  const observers = [];
  Object.assign(globalThis, {
    document: { getElementById: find, createElement: () => new Element(), querySelector: () => null, activeElement: null },
    addEventListener: window.addEventListener.bind(window),
    dispatchEvent: window.dispatchEvent.bind(window),
    location: { search, hash, pathname: "/" },
    history: new Entries(),
    sessionStorage: {
      getItem: (key) => stored[key] ?? null,
      setItem: (key, value) => { stored[key] = value; },
      removeItem: (key) => delete stored[key],
    },
    requestAnimationFrame: (act) => setTimeout(act, 0),
    cancelAnimationFrame: clearTimeout,
    IntersectionObserver: class {
      constructor(act) {
        observers.push((target) => act([{ target, isIntersecting: true }]));
      }
      observe = (target) => setTimeout(() => observers.forEach((see) => see(target)), 0);
      unobserve = () => {};
    },
  });
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (act, ms) => (ms < 500 ? setTimeout(act, ms) : setTimeout(act, ms).unref()); // the page asks for its jobs forever
  Object.assign(find("slider"), { min: "0.05", max: "0.95" });
  return find;
}

// Waits until something holds.
export async function until(holds) {
  for (const end = Date.now() + 5000; !holds();) {
    if (Date.now() > end) throw new Error(`waited in vain: ${holds}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}
