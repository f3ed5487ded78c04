"""Examines one case: describes its image and mask, and flags what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from insula.cohort.entry import Chronicity, Entry
from insula.cohort.likeness import sign
from insula.errors import InsulaError
from insula.geometry import Grid, axis_map, label_components, ras_grid, ras_map, unlike_in_order
from insula.io import SeveralLabels, read_mask, read_scan
from insula.io.naming import flags_by_name
from insula.postprocess import Side, side_of
from insula.prepare.head import Head, find_head
from insula.types import Flag
from insula.volume import Mask, Scan

__all__ = ["CheckedCase", "MAP_MM", "MAP_SHAPE", "examine", "hemisphere_of"]


MAP_SHAPE = (48, 56, 44)
"""Shape of the coarse box in which lesion frequency is counted [voxels]."""
MAP_MM = 4.0
"""Voxel size of that box [mm]."""
_OUTSIDE = 0.10  # share of the mask outside the head
_FLIP_LEAST_ML = 2.0
_FLIP_DARKER = 0.75  # the mirrored region must be darker than this fraction of the marked one
_ONE_SIDED = 0.9
_ROUNDING_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class CheckedCase:
    """A case as a check of its cohort reports it: facts and faults, as plain data."""

    case: str
    subject: str
    session: str
    centre: str
    chronicity: Chronicity
    days: float | None
    hidden: bool = False
    """The case has no mask, and none is expected."""
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    axes: str = ""
    low: float | None = None
    """1st percentile of the intensities."""
    high: float | None = None
    """99th percentile."""
    lesion_ml: float | None = None
    """Lesion volume [ml]; None without a readable mask."""
    lesion_voxels: int | None = None
    components: int | None = None
    """Number of 26-connected lesions."""
    hemisphere: Side = "none"
    """Side with at least nine tenths of the lesion."""
    image_sha256: str = ""
    """SHA-256 of the voxel values, so that a re-compressed copy is recognised."""
    alike: tuple[str, ...] = ()
    """Cases of other subjects whose images show nearly the same head."""
    faults: tuple[Flag, ...] = ()
    places: bytes = field(default=b"", repr=False)
    """The lesion in the coarse head box, one bit per voxel."""
    signature: bytes = field(default=b"", repr=False)
    """Image signature that recognises the same head in another file; empty without a head, and in records."""


def examine(entry: Entry) -> CheckedCase:
    """Read a case and report on it; an unreadable file becomes a fault, never an exception."""
    facts = {
        key: getattr(entry, key) for key in ("case", "subject", "session", "centre", "chronicity", "days", "hidden")
    }
    faults = list(_pairing(entry))
    if entry.former:
        text = f"was already in ATLAS 1.2 as {entry.former}; keep it out of tests of models trained on that"
        faults.append(Flag("in-atlas-1.2", text, "warning"))
    scan, lesion = None, None
    if entry.images:
        try:
            scan = read_scan(entry.images[0], name=entry.case)
            facts |= _image_facts(scan) | {"signature": _signature(scan)}
        except InsulaError as error:
            faults.append(Flag("image-unreadable", str(error), "error"))
    if entry.masks:
        try:
            lesion = read_mask(entry.masks[0], label=entry.label)
            faults += lesion.flags
            facts |= _lesion_facts(lesion)
        except InsulaError as error:
            code = "mask-multi-label" if isinstance(error, SeveralLabels) else "mask-unreadable"
            faults.append(Flag(code, str(error), "error"))
    if scan is not None and lesion is not None:
        faults += _together(scan, lesion, facts)
    return CheckedCase(**facts, faults=tuple(faults))


def _pairing(entry: Entry) -> list[Flag]:
    faults = []
    if not entry.images:
        faults.append(Flag("image-missing", f"there is a mask ({entry.masks[0].name}) but no T1w scan", "error"))
    if entry.beside:
        text = (
            f"there are {1 + len(entry.beside)} T1w scans of the session; {entry.images[0].name} is used, because the "
            "mask's name matches it"
        )
        faults.append(Flag("several-images", text, "warning"))
    if entry.doubt:
        faults.append(
            Flag("pair-ambiguous", f"the case {entry.doubt}; keep one, or name its run in both names", "error")
        )
    faults += [Flag(flag.code, flag.text, "warning") for path in entry.images[:1] for flag in flags_by_name(path)]
    if not entry.masks and not entry.hidden:
        faults.append(Flag("mask-missing", f"there is a T1w scan ({entry.images[0].name}) but no lesion mask", "error"))
    if len(entry.masks) > 1:
        names = " and ".join(path.name for path in entry.masks[:2])
        faults.append(Flag("several-masks", f"there are {len(entry.masks)} lesion masks ({names}); keep one", "error"))
    return faults


def _image_facts(scan: Scan) -> dict[str, object]:
    low, high = np.percentile(scan.image[::2, ::2, ::2], [1, 99])
    return {
        "shape": scan.grid.shape,
        "spacing_mm": tuple(round(mm, 4) for mm in scan.grid.spacing_mm),
        "axes": scan.grid.axcodes,
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "image_sha256": scan.image_sha256,
    }


def _signature(scan: Scan) -> bytes:
    try:
        return sign(scan)
    except InsulaError:  # no head: reported in `_together`
        return b""


def _lesion_facts(lesion: Mask) -> dict[str, object]:
    count = int(lesion.voxels.sum())
    _, components = label_components(lesion.voxels)
    return {"lesion_ml": round(count * lesion.grid.voxel_ml, 4), "lesion_voxels": count, "components": components}


def _together(scan: Scan, lesion: Mask, facts: dict[str, object]) -> list[Flag]:
    """Flag the faults that only image and mask together can show."""
    read, axes = lesion.flags, axis_map(lesion.grid, scan.grid)
    if axes is None:
        return [_elsewhere(scan.grid, lesion.grid)]
    lesion = lesion.onto(scan.grid, what=f"the mask of {scan.name}")
    reordered = list(lesion.flags[len(read) :])
    apart = scan.grid.apart_mm(lesion.grid) or 0.0
    slight = (
        reordered
        if apart <= _ROUNDING_MM
        else [
            Flag(
                "affine-rounded",
                f"scan and mask lie {apart:.2g} mm apart, far less than a voxel; they are treated as aligned",
                "warning",
            ),
            *reordered,
        ]
    )
    if not lesion.voxels.any():
        return [*slight, Flag("mask-empty", "the mask marks nothing; the case counts as a control", "warning")]
    axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
    image, voxels = np.ascontiguousarray(axes.apply(scan.image)), np.ascontiguousarray(axes.apply(lesion.voxels))
    try:
        head = find_head(image, grid.spacing_mm)
    except InsulaError as error:
        return [Flag("no-head", str(error), "error")]
    facts |= _where(voxels, grid, head)
    faults = []
    coarse = voxels[head.every]
    if coarse.any():
        outside = float((coarse & ~_within(head.inside)).sum() / coarse.sum())
        if outside > _OUTSIDE:
            faults.append(Flag("mask-outside-head", f"{outside:.0%} of the mask lies outside the head", "warning"))
    if not faults:  # a mask in the air has no darker side
        faults += _flipped(image, voxels, head, float(facts["lesion_ml"]))  # type: ignore[arg-type]
    return [*slight, *faults]


def _elsewhere(scan: Grid, mask: Grid) -> Flag:
    """Flag how two grids differ: in their shapes, whatever the axis order, or in their affines."""
    if sorted(scan.shape) != sorted(mask.shape):
        return Flag("shape-mismatch", f"the scan has {scan.shape} voxels, its mask {mask.shape}", "error")
    return Flag("affine-mismatch", f"scan and mask are not aligned: {unlike_in_order(mask, scan)}", "error")


def _within(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the head slice by slice along each axis, so that a dark brain inside a bright scalp counts as inside."""
    filled = inside.copy()
    for axis in range(3):
        for n in range(inside.shape[axis]):
            place = (slice(None),) * axis + (n,)
            filled[place] |= ndimage.binary_fill_holes(inside[place])
    return ndimage.binary_dilation(filled)


def hemisphere_of(voxels: NDArray[np.bool_], head: Head) -> Side:
    """Return the side with at least nine tenths of a mask in RAS+ order; `none` for an empty mask."""
    along = np.flatnonzero(voxels.any((1, 2)))
    if not len(along):
        return "none"
    count = voxels.sum((1, 2))[along]
    right = int(count[along > head.centre[0]].sum())  # RAS+: the first axis grows to the right
    return side_of(int(count.sum()) - right, right)


def _where(voxels: NDArray[np.bool_], grid: Grid, head: Head) -> dict[str, object]:
    index = np.argwhere(voxels)
    steps = np.array(grid.spacing_mm)
    place = np.round((index - np.array(head.centre)) * steps / MAP_MM + (np.array(MAP_SHAPE) - 1) / 2).astype(int)
    place = place[((place >= 0) & (place < MAP_SHAPE)).all(1)]
    occupied = np.zeros(MAP_SHAPE, bool)
    occupied[tuple(place.T)] = True
    return {"hemisphere": hemisphere_of(voxels, head), "places": np.packbits(occupied).tobytes()}


def _flipped(image: NDArray[np.float32], voxels: NDArray[np.bool_], head: Head, lesion_ml: float) -> list[Flag]:
    """Flag a mask that is probably mirrored: it marks healthy tissue, and the dark cavity lies on the other side."""
    index = np.argwhere(voxels)
    side = index[:, 0] > head.centre[0]
    if lesion_ml < _FLIP_LEAST_ML or side_of(int((~side).sum()), int(side.sum())) == "both":
        return []
    across = index.copy()
    across[:, 0] = np.round(2 * head.centre[0] - index[:, 0])
    within = (across[:, 0] >= 0) & (across[:, 0] < image.shape[0])
    if within.mean() < _ONE_SIDED:
        return []
    air = float(np.percentile(image, 1))
    marked = float(np.median(image[tuple(index[within].T)])) - air
    mirrored = float(np.median(image[tuple(across[within].T)])) - air
    if marked > 0 and mirrored < _FLIP_DARKER * marked:
        text = (
            f"the mirrored region is darker ({mirrored / marked:.0%}) than the marked one; the mask may be "
            "flipped left to right"
        )
        return [Flag("mask-flipped", text, "warning")]
    return []
