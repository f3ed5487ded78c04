// A mask that is edited: changes are made in steps, each of which can be undone.
const MOST_KEPT = 1 << 24;

export class EditedMask {
  #start;
  #most;
  #done = [];
  #undone = [];
  #step = null;

  // Undo goes back as far as the given number of changed voxels, but always one step.
  constructor(voxels, mostKept = MOST_KEPT) {
    this.voxels = voxels;
    this.#start = voxels.slice();
    this.#most = mostKept;
    this.count = 0;
    for (let index = 0; index < voxels.length; index += 1) this.count += voxels[index];
    this.changed = 0;
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  begin() {
    this.end();
    this.#step = [];
  }

  set(indices, value) {
    const changed = indices.filter((index) => this.voxels[index] !== value);
    this.#flip(changed);
    for (const index of changed) this.#step.push(index);
  }

  // Returns whether the step changed anything.
  end() {
    const step = Uint32Array.from(this.#step ?? []);
    this.#step = null;
    if (step.length === 0) return false;
    this.#done.push(step);
    this.#undone = [];
    for (let kept = this.#kept(); kept > this.#most && this.#done.length > 1;) kept -= this.#done.shift().length;
    return true;
  }

  undo() {
    this.end();
    return this.#move(this.#done, this.#undone);
  }

  redo() {
    this.end();
    return this.#move(this.#undone, this.#done);
  }

  // All changes back, as one step.
  revert() {
    this.begin();
    const changed = [];
    for (let index = 0; index < this.voxels.length; index += 1) if (this.voxels[index] !== this.#start[index]) changed.push(index);
    this.#flip(changed);
    this.#step = changed;
    return this.end();
  }

  // Changes are counted from these voxels now; earlier steps can still be undone.
  settle(voxels) {
    this.#start = voxels.slice();
    this.changed = 0;
    for (let index = 0; index < voxels.length; index += 1) this.changed += Number(this.voxels[index] !== voxels[index]);
  }

  #kept() {
    return this.#done.reduce((sum, step) => sum + step.length, 0);
  }

  #move(from, to) {
    const step = from.pop();
    if (!step) return false;
    this.#flip(step);
    to.push(step);
    return true;
  }

  // A mask has two values, so that doing a change and undoing it are the same.
  #flip(indices) {
    for (const index of indices) {
      const value = 1 - this.voxels[index];
      this.voxels[index] = value;
      this.count += 2 * value - 1;
      this.changed += value === this.#start[index] ? -1 : 1;
    }
  }
}
