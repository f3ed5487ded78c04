// The grid of a mask's file: where its voxels lie, in millimetres towards right, anterior and superior.
const AXES = [0, 1, 2];

export class Grid {
  #inverse;

  // The affine's three rows map (i, j, k, 1), in the file's own axis order, to millimetres.
  constructor(shape, affine) {
    this.shape = shape;
    this.affine = affine;
    this.steps = [1, shape[0], shape[0] * shape[1]];
    this.count = shape[0] * shape[1] * shape[2];
    const { inverse, determinant } = inverted(affine.map((row) => row.slice(0, 3)));
    this.#inverse = inverse;
    this.voxelMl = Math.abs(determinant) / 1000;
  }

  mm(voxel) {
    return this.affine.map((row) => row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3]);
  }

  // Fractional: voxel centres are whole numbers.
  voxel(mm) {
    return this.voxelSteps(mm.map((part, axis) => part - this.affine[axis][3]));
  }

  // The change of the voxel's coordinates along a direction in millimetres.
  voxelSteps(direction) {
    return this.#inverse.map((row) => row[0] * direction[0] + row[1] * direction[1] + row[2] * direction[2]);
  }

  // The file's axis that runs along a direction.
  axisAlong(direction) {
    const sizes = this.voxelSteps(direction).map(Math.abs);
    return sizes.indexOf(Math.max(...sizes));
  }

  // How many voxels along each axis a ball of this radius covers.
  extent(radiusMm) {
    return this.#inverse.map((row) => radiusMm * Math.hypot(...row));
  }

  // -1 outside of the grid.
  index(voxel) {
    const whole = voxel.map((part) => Math.round(part) + 0); // not -0
    if (!AXES.every((axis) => whole[axis] >= 0 && whole[axis] < this.shape[axis])) return -1;
    return whole[0] + whole[1] * this.steps[1] + whole[2] * this.steps[2];
  }

  at(index) {
    const k = Math.trunc(index / this.steps[2]);
    const j = Math.trunc((index - k * this.steps[2]) / this.steps[1]);
    return [index - k * this.steps[2] - j * this.steps[1], j, k];
  }

  equals(other) {
    const off = this.affine.flatMap((row, i) => row.map((value, j) => Math.abs(value - other.affine[i][j])));
    return AXES.every((axis) => this.shape[axis] === other.shape[axis]) && Math.max(...off) < 1e-3;
  }
}

function inverted([[a, b, c], [d, e, f], [g, h, i]]) {
  const cofactors = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  const determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0];
  return { inverse: cofactors.map((row) => row.map((part) => part / determinant)), determinant };
}
