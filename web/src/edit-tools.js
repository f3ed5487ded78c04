// The editor's tools: buttons, keys, and strokes over the slices.
import { find } from "./dom.js";
import { ml } from "./words.js";

const HELP = {
  look: "Press or drag in a slice to move the crosshair.",
  paint: "Drag over a slice, or press Space at the crosshair, to add to the lesion. The keys [ and ] change the size.",
  erase: "Drag over a slice, or press Space at the crosshair, to remove from the lesion. The keys [ and ] change the size.",
  grow: "Press a place, or Space at the crosshair: connected voxels at or above the threshold are added, up to this distance.",
  drop: "Press a lesion, or Space at the crosshair, to remove it with everything connected to it.",
};
const KEYS = { v: "look", escape: "look", b: "paint", e: "erase", g: "grow", d: "drop" };
const SIZED = ["paint", "erase"];

export class Tools {
  #viewer;
  #shown;
  #onChange;
  #tool = "look";
  #last = null;

  // `onChange` is called after every change of the mask; the listeners live until the signal aborts.
  constructor({ viewer, shown, onChange, signal }) {
    this.#viewer = viewer;
    this.#shown = shown;
    this.#onChange = onChange;
    for (const button of this.#buttons) button.onclick = () => this.#choose(button.dataset.tool);
    find("undo").onclick = () => this.#after(shown.undo(), "Undone.");
    find("redo").onclick = () => this.#after(shown.redo(), "Done again.");
    find("revert").onclick = () => this.#after(shown.revert(), "All changes were undone.");
    for (const id of ["size", "reach"]) find(id).oninput = () => this.#tellSizes();
    find("viewer").addEventListener("keydown", (event) => this.#press(event), { capture: true, signal });
    this.#listenToPointer(signal);
    this.#tellSizes();
    this.#choose("look");
    this.refresh();
  }

  // After the mask, its threshold or its place on the server has changed.
  refresh(note = "") {
    find("undo").disabled = !this.#shown.canUndo;
    find("redo").disabled = !this.#shown.canRedo;
    find("revert").disabled = !this.#shown.edited;
    const state = this.#shown.unsaved ? "not saved" : "";
    find("edit-note").textContent = [note, `The mask has ${ml(this.#shown.volumeMl)}${state && `, ${state}`}.`].filter(Boolean).join(" ");
  }

  get #buttons() {
    return find("edit").querySelectorAll("[data-tool]");
  }

  #choose(tool) {
    this.#tool = tool;
    for (const button of this.#buttons) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    find("tool-help").textContent = HELP[tool];
    find("size-row").hidden = !SIZED.includes(tool);
    find("reach-row").hidden = tool !== "grow";
    find("brush").hidden = tool === "look";
    find("ring").hidden = true;
  }

  #tellSizes() {
    find("size-value").textContent = `${find("size").value} mm`;
    find("reach-value").textContent = `${find("reach").value} mm`;
  }

  #press(event) {
    if (this.#last || event.altKey || (event.target.tagName === "INPUT" && event.target.type !== "range")) return;
    const key = event.key.toLowerCase();
    const onCanvas = event.target === this.#viewer.canvas;
    const act = this.#actOf(key, event, onCanvas);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #actOf(key, { ctrlKey, metaKey, shiftKey }, onCanvas) {
    if (key === "z") return () => find(shiftKey ? "redo" : "undo").click();
    if (ctrlKey || metaKey) return null;
    if (key === " " && onCanvas && this.#tool !== "look") return () => this.#applyAtCrosshair();
    if (key === "[" || key === "]") return () => this.#resize(key === "]" ? 1 : -1);
    const tool = KEYS[key] ?? null;
    if (tool === "grow" && !this.#shown.map) return null;
    return tool && (() => this.#choose(tool));
  }

  #resize(sign) {
    const slider = find(this.#tool === "grow" ? "reach" : "size");
    if (sign > 0) slider.stepUp();
    else slider.stepDown();
    this.#tellSizes();
  }

  #listenToPointer(signal) {
    const brush = find("brush");
    const listen = (type, act) => brush.addEventListener(type, act, { signal });
    listen("pointerdown", (event) => this.#down(event));
    listen("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) listen(type, () => this.#up());
    listen("pointerleave", () => { find("ring").hidden = true; });
    // The wheel still moves through the slices.
    listen("wheel", (event) => {
      event.preventDefault();
      this.#viewer.canvas.dispatchEvent(new WheelEvent(event.type, event));
    });
  }

  #down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.#viewer.canvas.focus({ preventScroll: true });
    const place = this.#viewer.placeAt(event);
    if (!place) return;
    event.preventDefault();
    find("brush").setPointerCapture(event.pointerId);
    if (!SIZED.includes(this.#tool)) return this.#applyAt(place);
    this.#shown.beginStroke();
    this.#brush(place, place);
    this.#last = place;
  }

  #move(event) {
    const place = this.#viewer.placeAt(event);
    this.#showRing(event, place);
    if (!this.#last || !event.isPrimary || place?.tile !== this.#last.tile) return;
    this.#brush(this.#last, place);
    this.#last = place;
  }

  #up() {
    if (!this.#last) return;
    this.#last = null;
    this.#after(this.#shown.endStroke());
  }

  #applyAtCrosshair() {
    const { place } = this.#viewer;
    if (place) this.#applyAt(place);
    else this.refresh("Choose a view with slices first.");
  }

  #applyAt(place) {
    if (SIZED.includes(this.#tool)) {
      this.#shown.beginStroke();
      this.#brush(place, place);
      return this.#after(this.#shown.endStroke());
    }
    const reached = this.#tool === "grow" ? this.#shown.grow(place.mm, find("reach").valueAsNumber) : this.#shown.drop(place.mm);
    this.#after(true, reached ? "" : this.#whyNothing(place));
  }

  #whyNothing({ mm }) {
    if (this.#tool === "drop") return "There is no lesion at this place.";
    const [here, least] = [this.#shown.probabilityAt(mm), this.#shown.growThreshold].map((value) => value.toFixed(2));
    return `Nothing grows here: the probability is ${here}, the threshold ${least}, or the place is outside of the brain.`;
  }

  #brush(from, to) {
    const axis = find("ball").checked ? null : this.#shown.grid.axisAlong(to.across);
    const value = this.#tool === "paint" ? 1 : 0;
    this.#shown.brush(from.mm, to.mm, { radiusMm: find("size").valueAsNumber / 2, axis, value });
    this.#viewer.showMask(this.#shown.voxels);
  }

  #after(changed, note = "") {
    if (changed) this.#onChange();
    this.refresh(note);
  }

  #showRing(event, place) {
    const ring = find("ring");
    ring.hidden = !place || event.pointerType === "touch" || !SIZED.includes(this.#tool);
    if (ring.hidden) return;
    const { left, top } = find("brush").getBoundingClientRect();
    const across = find("size").valueAsNumber * place.pixelsPerMm;
    Object.assign(ring.style, { width: `${across}px`, height: `${across}px`, left: `${event.clientX - left}px`, top: `${event.clientY - top}px` });
  }
}
