// The voxels that a tool reaches, as indices into the mask: a stroke of the brush, and what hangs together.

// A brush moved from one place to another: a ball, or a disc in the slice across the given axis of the file.
// The voxels under both places are always among them, however small the brush.
export function stroke(grid, from, to, { radiusMm, axis = null }) {
  const ends = [from, to].map((mm) => inSlice(grid, mm, axis === null ? null : { axis, at: Math.round(grid.voxel(to)[axis]) }));
  const [low, high] = box(grid, ends, radiusMm, axis);
  const away = distanceTo(ends);
  const [x, y, z] = grid.affine;
  const reached = [];
  for (let k = low[2]; k <= high[2]; k += 1) {
    for (let j = low[1]; j <= high[1]; j += 1) {
      const [a, b, c] = [x, y, z].map((row) => row[1] * j + row[2] * k + row[3]);
      for (let i = low[0]; i <= high[0]; i += 1) {
        if (away(a + x[0] * i, b + y[0] * i, c + z[0] * i) <= radiusMm) reached.push(i + j * grid.steps[1] + k * grid.steps[2]);
      }
    }
  }
  const under = ends.map((mm) => grid.index(grid.voxel(mm))).filter((index) => index >= 0 && !reached.includes(index));
  return [...reached, ...new Set(under)];
}

// Moved along the slice's axis onto the plane of its voxels' centres.
function inSlice(grid, mm, slice) {
  if (!slice) return mm;
  const voxel = grid.voxel(mm);
  voxel[slice.axis] = slice.at;
  return grid.mm(voxel);
}

function box(grid, ends, radiusMm, axis) {
  const voxels = ends.map((mm) => grid.voxel(mm));
  const extent = grid.extent(radiusMm);
  if (axis !== null) extent[axis] = 1e-6; // one slice, in spite of rounding
  const low = extent.map((size, at) => Math.max(0, Math.ceil(Math.min(voxels[0][at], voxels[1][at]) - size)));
  const high = extent.map((size, at) => Math.min(grid.shape[at] - 1, Math.floor(Math.max(voxels[0][at], voxels[1][at]) + size)));
  return [low, high];
}

// The distance of a place from the segment between two others.
function distanceTo([from, to]) {
  const [x, y, z] = to.map((part, axis) => part - from[axis]);
  const squared = x * x + y * y + z * z;
  return (right, anterior, superior) => {
    const a = right - from[0];
    const b = anterior - from[1];
    const c = superior - from[2];
    const part = squared > 0 ? Math.min(1, Math.max(0, (x * a + y * b + z * c) / squared)) : 0;
    return Math.hypot(a - part * x, b - part * y, c - part * z);
  };
}

// Where `inside` holds and one gets from the seed over faces, edges and corners; empty if it does not hold at the seed.
export function connected(grid, seed, inside, reached = new Uint8Array(grid.count)) {
  if (seed < 0 || !inside(seed)) return [];
  const [x, y, z] = grid.shape;
  const all = [seed];
  reached[seed] = 1;
  for (let next = 0; next < all.length; next += 1) {
    const [i, j, k] = grid.at(all[next]);
    for (let c = Math.max(0, k - 1); c <= Math.min(z - 1, k + 1); c += 1) {
      for (let b = Math.max(0, j - 1); b <= Math.min(y - 1, j + 1); b += 1) {
        for (let a = Math.max(0, i - 1); a <= Math.min(x - 1, i + 1); a += 1) {
          const index = a + b * grid.steps[1] + c * grid.steps[2];
          if (reached[index] || !inside(index)) continue;
          reached[index] = 1;
          all.push(index);
        }
      }
    }
  }
  return all;
}

// Connected voxels where `inside` holds, no farther from the centre than given.
export function grown(grid, mm, inside, withinMm) {
  const near = (index) => Math.hypot(...grid.mm(grid.at(index)).map((part, axis) => part - mm[axis])) <= withinMm;
  return connected(grid, grid.index(grid.voxel(mm)), (index) => inside(index) && near(index));
}

// Removes connected lesions for which `kept` does not hold.
export function dropLesions(grid, voxels, kept) {
  const reached = new Uint8Array(grid.count);
  for (let index = voxels.indexOf(1); index >= 0; index = voxels.indexOf(1, index + 1)) {
    if (reached[index]) continue;
    const lesion = connected(grid, index, (at) => voxels[at] === 1, reached);
    if (!kept(lesion)) for (const at of lesion) voxels[at] = 0;
  }
}
