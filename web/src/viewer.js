// Shows the scan and its lesions in three planes and in 3-D.
import { Niivue, NVImage, SLICE_TYPE } from "@niivue/niivue";

export const VIEWS = {
  Planes: SLICE_TYPE.MULTIPLANAR,
  Axial: SLICE_TYPE.AXIAL,
  Coronal: SLICE_TYPE.CORONAL,
  Sagittal: SLICE_TYPE.SAGITTAL,
  "3-D": SLICE_TYPE.RENDER,
};
const LESION = { R: [255, 255], G: [90, 90], B: [60, 60], A: [0, 255], I: [0, 255] };
const OPACITY = 0.6;
const TURN_DEGREES = 5;
const FACING = { left: 110, right: 250, elevation: 10 };
const SIZE_3D = 1.4;
// Steps towards right, anterior and superior; the patient's right is on the screen's left.
const AXIAL = { across: [-1, 0, 0], up: [0, 1, 0], through: [0, 0, 1] };
const AXES = {
  [SLICE_TYPE.MULTIPLANAR]: AXIAL,
  [SLICE_TYPE.AXIAL]: AXIAL,
  [SLICE_TYPE.CORONAL]: { across: [-1, 0, 0], up: [0, 0, 1], through: [0, 1, 0] },
  [SLICE_TYPE.SAGITTAL]: { across: [0, 1, 0], up: [0, 0, 1], through: [1, 0, 0] },
};
// The axis across the slice, of right, anterior and superior.
const ACROSS = { [SLICE_TYPE.AXIAL]: 2, [SLICE_TYPE.CORONAL]: 1, [SLICE_TYPE.SAGITTAL]: 0 };
const MOVES = {
  ArrowLeft: ["across", -1], ArrowRight: ["across", 1],
  ArrowDown: ["up", -1], ArrowUp: ["up", 1],
  PageDown: ["through", -1], PageUp: ["through", 1],
};
const TURNS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

export const supported = document.createElement("canvas").getContext("webgl2") !== null;

export class Viewer {
  #niivue;
  #lesions;
  #due = false;

  static async open(canvas, { scan, mask }, onMove) {
    const viewer = new Viewer();
    await viewer.#attach(canvas, onMove);
    await viewer.#load(scan, mask);
    return viewer;
  }

  async #attach(canvas, onMove) {
    this.#niivue = new Niivue({
      isRadiologicalConvention: true,
      multiplanarPadPixels: 4,
      crosshairColor: [0.39, 0.78, 0.75, 0.9],
      crosshairWidth: 0.8,
      crosshairWidthUnit: "mm",
      crosshairGap: 8,
      fontColor: [0.81, 0.85, 0.87, 1],
      scrollRequiresFocus: true,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
    });
    this.#niivue.onLocationChange = ({ mm }) => onMove(Array.from(mm).slice(0, 3));
    // Handled before NiiVue's own keys, which switch to modes that the page does not show.
    canvas.addEventListener("keydown", (event) => this.#press(event), { capture: true });
    canvas.addEventListener("keyup", (event) => event.stopImmediatePropagation(), { capture: true });
    await this.#niivue.attachToCanvas(canvas, true);
  }

  async #load(scan, mask) {
    this.#niivue.addColormap("lesion", LESION);
    this.#niivue.addVolume(await NVImage.new(scan, "scan.nii", "gray"));
    this.#lesions = await NVImage.new(mask, "mask.nii", "lesion", OPACITY);
    Object.assign(this.#lesions, { cal_min: 0.5, cal_max: 100 });
    this.#niivue.addVolume(this.#lesions);
    this.#niivue.setScale(SIZE_3D);
    this.#niivue.createOnLocationChange();
  }

  get canvas() {
    return this.#niivue.canvas;
  }

  // Draws the picture as it is now into a plain canvas.
  copyTo(copy) {
    const { canvas } = this.#niivue;
    this.#niivue.drawScene();
    Object.assign(copy, { width: canvas.width, height: canvas.height });
    copy.getContext("2d").drawImage(canvas, 0, 0);
  }

  close() {
    this.#niivue.cleanup();
    this.#niivue.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  // The voxels of the mask, in the order of its file.
  showMask(voxels) {
    this.#lesions.img = voxels;
    this.#refresh();
  }

  set overlay(shown) {
    this.#lesions.opacity = shown ? OPACITY : 0;
    this.#refresh();
  }

  set view(name) {
    this.#niivue.opts.isOrientCube = VIEWS[name] === SLICE_TYPE.RENDER;
    this.#niivue.setSliceType(VIEWS[name]);
  }

  goTo(mm) {
    this.#niivue.scene.crosshairPos = this.#niivue.mm2frac(mm, 0, true);
    this.#niivue.createOnLocationChange();
    this.#niivue.setRenderAzimuthElevation(mm[0] > 0 ? FACING.right : FACING.left, FACING.elevation);
  }

  // The place under the pointer, and the direction across its slice; null outside of the slices.
  placeAt(event) {
    const { left, top } = this.#niivue.canvas.getBoundingClientRect();
    const at = [event.clientX - left, event.clientY - top].map((part) => part * this.#niivue.uiData.dpr);
    const tile = this.#niivue.screenSlices[this.#niivue.tileIndex(...at)];
    const frac = this.#niivue.canvasPos2frac(at);
    if (!(tile?.axCorSag in ACROSS) || frac[0] < 0) return null;
    const pixels = Math.abs(tile.leftTopWidthHeight[2] / tile.fovMM[0]) / this.#niivue.uiData.dpr;
    return { ...this.#placeOf(frac, ACROSS[tile.axCorSag]), pixelsPerMm: pixels, tile: tile.axCorSag };
  }

  // The place of the crosshair, as `placeAt`; null in 3-D.
  get place() {
    const { sliceType } = this.#niivue.opts;
    if (sliceType === SLICE_TYPE.RENDER) return null;
    return this.#placeOf(this.#niivue.scene.crosshairPos, ACROSS[sliceType] ?? ACROSS[SLICE_TYPE.AXIAL]);
  }

  #placeOf(frac, axis) {
    const next = Array.from(frac, (part, at) => part + Number(at === axis));
    const [mm, beyond] = [frac, next].map((place) => Array.from(this.#niivue.frac2mm(place, 0, true)).slice(0, 3));
    return { mm, across: beyond.map((part, at) => part - mm[at]) };
  }

  // At most once per frame: a slider may move more often.
  #refresh() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#niivue.refreshLayers(this.#lesions, 1);
      this.#niivue.drawScene();
    });
  }

  #press(event) {
    event.stopImmediatePropagation();
    const acted = this.#niivue.opts.sliceType === SLICE_TYPE.RENDER ? this.#turn(event.key) : this.#move(event.key);
    if (acted) event.preventDefault();
  }

  #turn(key) {
    const turn = TURNS[key];
    if (!turn) return false;
    const { renderAzimuth, renderElevation } = this.#niivue.scene;
    this.#niivue.setRenderAzimuthElevation(renderAzimuth + turn[0] * TURN_DEGREES, renderElevation + turn[1] * TURN_DEGREES);
    return true;
  }

  #move(key) {
    const move = MOVES[key];
    if (!move) return false;
    const [axis, sign] = move;
    const step = AXES[this.#niivue.opts.sliceType][axis];
    this.#niivue.moveCrosshairInVox(...step.map((part) => sign * part));
    return true;
  }
}
