"""Reads open heads, label maps and lesion outlines from a folder, with a fixed split into parts.

The folder's layout:

    hosts/*_T1w.nii.gz                       heads without a lesion (`*_brain_T1w`: skull-stripped)
    hosts/NAME/T1w.nii.gz, dlmuse.nii.gz     heads with a DLMUSE label map
    labelmaps/*_dlmuse.nii.gz, *_synthseg.nii.gz
    lesions/acute/*.nii.gz, lesions/chronic/*.nii.gz
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from insula.augment import Original
from insula.errors import BadData, NoInput
from insula.geometry import Grid, ras_grid, ras_map, resample
from insula.io import read_labels, read_scan
from insula.simulate import Outline, Tissue, from_dlmuse, from_freesurfer
from insula.simulate.anatomy import BRAIN, add_skull, trim_csf
from insula.types import Shape
from insula.volume import Mask

__all__ = ["Part", "Sources", "load_sources", "part_of_host"]

Part = Literal["train", "validation", "test"]
_LESION_SHARES = 0.80, 0.85
_HOST_SHARES = 0.65, 0.80
_FEW = 5
_SALT = "596 "
"""Salt of the host hashes, chosen so that every part has heads of each source, and no head in the test part was used to
train earlier weights."""
_SAME_PERSON = {"nichart-08": "nichart-10", "nichart-09": "nichart-10", "nichart-16": "nichart-15"}
"""Heads of a person who also appears under another name; both go to the same part. Rigidly registered and high-pass
filtered, they correlate by 0.93 to 0.95, heads of two people by at most 0.44. Their label volumes agree as well (0.90
to
0.92, at most 0.83)."""
_EVEN_MM = 1.05  # label maps this fine need no smoothing at 1 mm


@dataclass(frozen=True, eq=False, kw_only=True)
class Sources:
    """The raw material of one part; as far as known, no host, person or lesion is in two parts."""

    hosts: tuple[Original, ...]
    """Lesion-free heads and label maps."""
    acute: tuple[Outline, ...]
    """Outlines drawn on acute strokes."""
    chronic: tuple[Outline, ...]
    """Outlines drawn on chronic strokes."""
    fingerprint: str
    """SHA-256 of the names and bytes of all files used."""

    @property
    def site_hosts(self) -> tuple[Original, ...]:
        """Hosts for a cohort's sites: only real heads, if there are any; painted heads tell little about real scans."""
        return tuple(host for host in self.hosts if host.image is not None) or self.hosts


def load_sources(folder: Path, *, part: Part, box: Shape, most_lesions: int | None = None) -> Sources:
    """Read one part of the folder.

    Hosts and lesions are assigned by the hash of their name, so that a new file never moves an old one to another part:
    80, 5 and 15 % of the lesions to training, validation and test; about 65, 15 and 20 % of the heads and label maps.

    Args:
        folder: laid out as described above.
        part: the part to read.
        box: shape of the head box at 1 mm [voxels].
        most_lesions: limit on the lesions of each phase, for quick tests.

    Raises:
        NoInput: a kind of file is missing.
        BadData: a lesion outline is empty.
    """
    heads = _paths(folder, "hosts/*_T1w.nii.gz") + _paths(folder, "hosts/*/T1w.nii.gz")
    maps = _paths(folder, "labelmaps/*_dlmuse.nii.gz", "labelmaps/*_synthseg.nii.gz")
    acute, chronic = _paths(folder, "lesions/acute/*.nii.gz"), _paths(folder, "lesions/chronic/*.nii.gz")
    for name, paths in (("hosts", heads), ("lesions/acute", acute), ("lesions/chronic", chronic)):
        if not paths:
            raise NoInput(
                "the source folder",
                folder / name,
                "holds no NIfTI files",
                "give the folder described in docs/reference",
            )
    atlas = _atlas_brain(folder)
    hosts = [p for files in (heads, maps) for p in _deal(files, part)]
    drawn = [
        [p for p in files if _part_of(p.name, _LESION_SHARES) == part][:most_lesions] for files in (acute, chronic)
    ]
    with ThreadPoolExecutor() as pool:
        ready = list(pool.map(lambda p: _host(p, box, atlas), hosts))
        shapes = [tuple(pool.map(_lesion, files)) for files in drawn]
        digest = hashlib.sha256()
        for path, sha in zip(
            [*hosts, *drawn[0], *drawn[1]], pool.map(_sha, [*hosts, *drawn[0], *drawn[1]]), strict=True
        ):
            digest.update(f"{path.relative_to(folder)} {sha}\n".encode(errors="surrogateescape"))
    return Sources(hosts=tuple(ready), acute=shapes[0], chronic=shapes[1], fingerprint=digest.hexdigest())


def _paths(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith("."))


def _deal(paths: list[Path], part: Part) -> list[Path]:
    if len(paths) < _FEW:  # too few for a validation part; the last is reserved for testing
        return {"train": paths[:-1], "validation": [], "test": paths[-1:]}[part]
    return [path for path in paths if part_of_host(path) == part]


def part_of_host(path: Path) -> Part:
    """Return the part of a head or label map, by its name, if there are at least five of its kind.

    Heads known to show the same person belong to the same part.
    """
    name = _host_name(path)
    return _part_of(_SALT + _SAME_PERSON.get(name, name), _HOST_SHARES)


def _host_name(path: Path) -> str:
    return path.parent.name if path.name == "T1w.nii.gz" else path.name.split(".")[0]


def _part_of(name: str, shares: tuple[float, float]) -> Part:
    """Return the part of a name by its hash in 0 to 1: train below the first share, validation below the second."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return "train" if share < shares[0] else "validation" if share < shares[1] else "test"


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lesion(path: Path) -> Outline:
    """Read an outline and crop it to its bounding box with a margin, at 1 mm along the patient's axes."""
    labels, grid = read_labels(path)
    voxels, grid = ras_map(grid).apply(labels) > 0, ras_grid(grid)
    lesion_voxels = np.argwhere(voxels)
    if not len(lesion_voxels):
        raise BadData("the lesion outline", path.name, "is empty", "remove it from the folder")
    corners = grid.centre_mm(np.stack([lesion_voxels.min(0), lesion_voxels.max(0)]))
    steps = np.ceil(grid.spacing_mm) + 1
    start, stop = corners.min(0) - steps, corners.max(0) + steps
    affine = np.eye(4)
    affine[:3, 3] = start
    i, j, k = (int(n) for n in np.ceil(stop - start).astype(int) + 1)
    ones = resample(voxels, grid, Grid((i, j, k), affine)) > 0.5
    x, y, z = (float(v) for v in start)
    return Outline(name=path.name, voxels=torch.from_numpy(ones.astype(np.uint8)), origin_mm=(x, y, z))


def _atlas_brain(folder: Path) -> Mask:
    """Return the brain mask in the space of the lesions, from the skull-stripped average head."""
    path = next(iter(_paths(folder, "hosts/*_brain_T1w.nii.gz")), None)
    if path is None:
        raise NoInput(
            "the source folder",
            folder / "hosts",
            "holds no *_brain_T1w.nii.gz",
            "add a skull-stripped head in MNI space",
        )
    scan = read_scan(path)
    return Mask(ras_map(scan.grid).apply(scan.image) > 0, ras_grid(scan.grid))


def _moments(brain: Mask) -> NDArray[np.float64]:
    """Return the centre and the standard deviation [mm] of a brain along each axis, as two rows."""
    places = brain.grid.centre_mm(np.argwhere(brain.voxels[::2, ::2, ::2]) * 2)
    return np.stack([places.mean(0), places.std(0)])


def _host(path: Path, box: Shape, atlas: Mask) -> Original:
    painted = path.name.endswith(("_dlmuse.nii.gz", "_synthseg.nii.gz"))
    labelled, skull = True, "_brain_" not in path.name
    if painted:
        labels, grid = read_labels(path)
        image = None
        tissue = (from_freesurfer if "synthseg" in path.name else from_dlmuse)(labels)
        skull = bool((tissue == Tissue.SCALP).any())
    else:
        scan = read_scan(path)
        image, grid = scan.image, scan.grid
        if (beside := path.with_name("dlmuse.nii.gz")).exists():
            tissue = from_dlmuse(read_labels(beside)[0])
        else:
            tissue = _by_intensity(image, grid, brain_only="_brain_" in path.name, atlas=atlas)
            labelled = "_brain_" in path.name
    axes, grid = ras_map(grid), ras_grid(grid)
    tissue = axes.apply(tissue)
    target = _head_box(grid, np.argwhere(np.isin(tissue, BRAIN)).mean(0), box)
    codes = trim_csf(_smooth_codes(tissue, grid, target)) if painted else _smooth_codes(tissue, grid, target)
    voxels = Grid(box, np.eye(4))
    (centre, spread), (position, width) = _moments(atlas), _moments(Mask(np.isin(codes, BRAIN), voxels))
    to_atlas = np.diag([*(spread / width), 1.0])
    to_atlas[:3, 3] = centre - spread / width * position
    picture = None
    if image is not None:
        picture = torch.from_numpy(np.clip(resample(axes.apply(image), grid, target), 0, None)).half()
    if not (painted and skull):
        codes = add_skull(codes)
    return Original.lesion_free(
        _host_name(path),
        picture,
        torch.from_numpy(codes),
        to_atlas,
        skull=skull or image is None,
        labelled=labelled,
    )


def _smooth_codes(tissue: NDArray[np.uint8], grid: Grid, target: Grid) -> NDArray[np.uint8]:
    """Resample tissues to another grid; each voxel gets the tissue with the largest share, without coarse steps."""
    if max(grid.spacing_mm) <= _EVEN_MM:
        return resample(tissue, grid, target, order=0, antialias=False).astype(np.uint8)
    codes, most = np.zeros(target.shape, np.uint8), np.zeros(target.shape, np.float32)
    for kind in np.unique(tissue).tolist():
        share = resample((tissue == kind).astype(np.float32), grid, target, antialias=False)
        if kind == Tissue.OUTSIDE:
            share = share - 1e-3  # ties go to tissue: points beyond the map have no share of any
        better = share > most
        codes[better], most[better] = kind, share[better]
    return codes


def _head_box(grid: Grid, centre: NDArray[np.float64], box: Shape) -> Grid:
    """Return the box at 1 mm with the brain at its centre, shifted up a little for the neck."""
    step = 1 / np.array(grid.spacing_mm)
    corner = centre - step * (np.array(box) / 2 - [0, 0, 6])
    affine = grid.affine @ np.diag([*step, 1.0])
    affine[:3, 3] = (grid.affine @ [*corner, 1.0])[:3]
    return Grid(box, affine)


def _by_intensity(image: NDArray[np.float32], grid: Grid, *, brain_only: bool, atlas: Mask) -> NDArray[np.uint8]:
    """Segment the tissues of a sharp average head in MNI space by intensity thresholds."""
    brain = image > 0 if brain_only else resample(atlas.voxels, atlas.grid, grid, order=0, antialias=False) > 0.5
    low, high = np.percentile(image[brain], [2, 98])
    csf, white = low + 0.38 * (high - low), low + 0.72 * (high - low)
    tissue = np.zeros(image.shape, np.uint8)
    tissue[brain] = Tissue.CORTEX
    tissue[brain & (image < csf)] = Tissue.SULCAL_CSF
    tissue[brain & (image > white)] = Tissue.WHITE
    deep = ndimage.distance_transform_edt(brain) > 25
    tissue[deep & (tissue == Tissue.SULCAL_CSF)] = Tissue.VENTRICLE
    return tissue
