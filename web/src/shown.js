// The mask that the page shows, saves and downloads: the file's own, one at another threshold, or one that was edited.
import { MaskFile, picture } from "./edit-file.js";
import { EditedMask } from "./edit-mask.js";
import { connected, grown, stroke } from "./edit-shapes.js";
import { read, unzipped, zipped } from "./nifti.js";
import { ProbabilityMap } from "./probability.js";

export class ShownMask {
  #blob;
  #file;
  #own;
  #ownThreshold;
  #edit;
  // Threshold of the voxels before they were edited.
  #shownAt = null;
  // Of the slider: null for the file's own mask.
  threshold = null;

  // Files as blobs; `brain` is null if the model gives none, `sha256` is that of the server's mask, if it is known.
  static async open({ mask, prob, brain, record, sha256 }) {
    const shown = new ShownMask();
    shown.sha256 = sha256;
    shown.#blob = mask;
    shown.#file = new MaskFile(await unzipped(mask));
    shown.grid = shown.#file.grid;
    shown.#ownThreshold = record.threshold;
    shown.#begin(shown.#file.voxels());
    shown.#own = shown.voxels.slice();
    shown.map = await shown.#mapOf(prob, brain, record.provenance?.inference ?? {});
    return shown;
  }

  // Null if it lies on another grid than the mask.
  async #mapOf(prob, brain, rule) {
    const [buffer, brainFile] = [await unzipped(prob), brain && new MaskFile(await unzipped(brain))];
    const grids = [new MaskFile(buffer).grid, ...(brainFile ? [brainFile.grid] : [])];
    if (!grids.every((grid) => grid.equals(this.grid))) return null;
    return new ProbabilityMap(read(buffer), { brain: brainFile ? brainFile.voxels() : null, grid: this.grid, rule });
  }

  #begin(voxels) {
    this.#edit = new EditedMask(voxels);
    this.unsaved = false;
  }

  get voxels() {
    return this.#edit.voxels;
  }

  get volumeMl() {
    return this.#edit.count * this.grid.voxelMl;
  }

  get edited() {
    return this.#edit.changed > 0;
  }

  get isOwn() {
    return !this.edited && this.threshold === null;
  }

  // An edited mask stays as it is; the threshold then only limits what grows.
  show(threshold) {
    if (threshold === this.threshold) return;
    this.threshold = threshold;
    if (this.edited) return;
    this.#begin(threshold === null ? this.#own.slice() : this.map.maskAt(threshold));
    this.#shownAt = threshold;
  }

  get growThreshold() {
    return this.threshold ?? this.#ownThreshold;
  }

  beginStroke() {
    this.#edit.begin();
  }

  brush(from, to, { radiusMm, axis, value }) {
    this.#edit.set(stroke(this.grid, from, to, { radiusMm, axis }), value);
  }

  endStroke() {
    return this.#noted(this.#edit.end());
  }

  // Returns how many voxels were reached; 0 if the probability at the place is below the threshold.
  grow(mm, withinMm) {
    const likely = (index) => this.map.reaches(index, this.growThreshold);
    return this.#step(grown(this.grid, mm, likely, withinMm), 1);
  }

  // Returns how many voxels the lesion at the place had; 0 if there is none.
  drop(mm) {
    return this.#step(connected(this.grid, this.grid.index(this.grid.voxel(mm)), (index) => this.voxels[index] === 1), 0);
  }

  probabilityAt(mm) {
    const index = this.grid.index(this.grid.voxel(mm));
    return index < 0 ? 0 : this.map.at(index);
  }

  #step(indices, value) {
    this.#edit.begin();
    this.#edit.set(indices, value);
    this.#noted(this.#edit.end());
    return indices.length;
  }

  undo() {
    return this.#noted(this.#edit.undo());
  }

  redo() {
    return this.#noted(this.#edit.redo());
  }

  revert() {
    return this.#noted(this.#edit.revert());
  }

  get canUndo() {
    return this.#edit.canUndo;
  }

  get canRedo() {
    return this.#edit.canRedo;
  }

  #noted(changed) {
    if (changed) this.unsaved = this.edited;
    if (changed && !this.edited) this.threshold = this.#shownAt;
    return changed;
  }

  get suffix() {
    if (this.edited) return "_corrected.nii.gz";
    return this.threshold === null ? "_mask.nii.gz" : `_threshold-${this.threshold.toFixed(2)}_mask.nii.gz`;
  }

  // The file as it came, or with other voxels.
  async file() {
    return this.isOwn && this.#blob ? this.#blob : zipped(this.#file.bytesWith(this.voxels));
  }

  // For the viewer.
  picture() {
    return picture(this.grid, this.voxels);
  }

  // The mask is now the one that the server has: these voxels, unless it was edited while they were sent.
  settle(sent, sha256) {
    this.#edit.settle(sent);
    this.sha256 = sha256;
    this.#own = sent;
    this.#blob = null;
    this.#shownAt = null;
    this.threshold = null;
    this.unsaved = this.edited;
  }
}
