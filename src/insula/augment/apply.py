"""Execution of augmentation plans on a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from insula.augment.gather import Desk, Stages, numbers_of, pack, unpack
from insula.augment.graft import lay_truth
from insula.augment.original import COARSE, Original, around_at, bare, brain_codes
from insula.augment.plan import Augmentation
from insula.nn import Recorder
from insula.simulate import Outline, ScannerLook, Tissue
from insula.simulate.anatomy import WHITE
from insula.simulate.blobs import draw_blobs
from insula.simulate.confounders import white_matter_disease
from insula.simulate.deform import carry_all, indices
from insula.simulate.fields import blur_each, blur_evenly, identity, look_up_each, noise, put
from insula.simulate.infarct import Where, grain, infarct
from insula.simulate.ingredients import Ingredients
from insula.simulate.scanner import ScanNumbers, acquire, add_noise, disturb_each
from insula.simulate.shift import near_lesion, pull, push, widen
from insula.types import Shape

__all__ = ["Augmented", "Augmenter", "augment"]

Volumes = Float[Tensor, "b i j k"]
Numbers = Mapping[str, Tensor]
LesionPainter = Callable[[Volumes, Volumes], Volumes]
"""A function that draws lesions into images, given the images and their truths."""
_VENTRICLE, _SULCUS, _CORTEX, _WHITE = (
    int(kind) for kind in (Tissue.VENTRICLE, Tissue.SULCAL_CSF, Tissue.CORTEX, Tissue.WHITE)
)
_WHITES = tuple(int(kind) for kind in WHITE)
_LOOKS_PULL, _LOOKS_WIDEN = (Ingredients._fields.index(name) for name in ("pull_mm", "widening_mm"))


class Augmented(NamedTuple):
    """Crops, and samples of their whole heads' intensities."""

    image: Volumes
    """Air 0, white matter about 1; not normalised."""
    truth: Volumes
    """0 or 1."""
    brain: Volumes
    """1 brain, 0 not brain, -1 unknown."""
    sample: Float[Tensor, "b n"]
    """Intensities of each whole head as it would be shown, at every eighth voxel, sorted, so that a crop can be
    normalised like its head. They include lesions, paint, skull strip, contrast, bias field, thick slices and noise.
    Point spread and artefacts change these intensities little, confounders and deformations even less, so they are left
    out. Slices are averaged before the contrast, so the range of a spin echo in slices of 5 mm is 4 to 10 % too
    small."""


class Augmenter:
    """Cut, deform, infarct, strip and scan heads: each item by its own plan, all on the cases' device.

    Only the voxels of the crop are computed, but they are read from the whole case: the crop turns about its own
    middle, and what comes in from outside is real. Image and truth move together, in one look-up. The same plans on the
    same kind of device give the same result, and an item's result does not depend on the rest of the batch, except for
    rounding.

    The device is never waited for. On a GPU the work that every batch needs is recorded and replayed: it has several
    hundred small kernels, which cost more to launch than to compute.

    Args:
        device: device of the cases.
        record: whether work is recorded on a GPU; turn it off for a debugger.
        heads: whether every case is a lesion-free head with known tissues; every batch then takes the same work.
        grafts: largest number of lesions that a plan grafts.
        compile: whether to torch.compile the work: a minute or two for each size of crop, and fewer passes over memory
            afterwards.
    """

    def __init__(
        self, device: torch.device, *, record: bool = True, heads: bool = False, grafts: int = 1, compile: bool = False
    ) -> None:
        self.device, self.heads, self.grafts = device, heads, grafts
        self._work = torch.compile(_work, dynamic=False) if compile else _work
        self._desk, self._recorder = Desk(device), Recorder(device, on=record)

    def __call__(
        self,
        originals: Sequence[Original],
        plans: Sequence[Augmentation],
        *,
        starts: Sequence[Shape],
        crop: Shape,
        outlines: Sequence[Outline] = (),
        painter: LesionPainter | None = None,
    ) -> Augmented:
        """Augment one batch.

        Args:
            originals: whole cases at 1 mm, all of one box.
            plans: one per case.
            starts: first voxel of the crop in each case.
            crop: voxels of the crop along each axis; the whole case or less.
            outlines: the outlines that the plans' grafts number.
            painter: draws the lesions instead of the plans' looks; not with recorded work.
        """
        stages, box = Stages.of_heads() if self.heads else Stages.of(originals, plans), originals[0].box
        flat, layout = pack(numbers_of(originals, plans, starts, crop, grafts=self.grafts))
        held = self._desk.place("numbers", len(flat))
        held.copy_(put(flat, self.device))
        volumes = self._desk.lay_out(originals, plans, starts, crop, outlines, stages=stages, grafts=self.grafts)
        key = (stages, crop, layout, tuple(volume.data_ptr() for volume in volumes.values()))
        image, truth, brain, sample = self._recorder.run(
            key, lambda: self._work(unpack(held, layout), volumes, stages, crop, box, painter)
        )
        if self._recorder.on:  # the next batch overwrites the recorded tensors
            truth, brain, sample = truth.clone(), brain.clone(), sample.clone()
        looks = [plan.scanner or ScannerLook() for plan in plans]
        image = disturb_each(image, looks)
        static = self._desk.place("noise", len(plans), 2, *crop)
        for part, look in zip(static, looks, strict=True):
            part.copy_(noise((2, *crop), seed=look.seed + 1, device=self.device)) if look.noise else part.zero_()
        image = add_noise(image, unpack(held, layout)["scan_level"][:, 2], static)
        return Augmented(image, truth, brain, sample)


def augment(
    originals: Sequence[Original],
    plans: Sequence[Augmentation],
    *,
    starts: Sequence[Shape],
    crop: Shape,
    outlines: Sequence[Outline] = (),
    painter: LesionPainter | None = None,
) -> Augmented:
    """Augment one batch with an `Augmenter` of its own, to see what plans do."""
    most = max((len(plan.lesions.grafts) for plan in plans if plan.lesions), default=1)
    augmenter = Augmenter(originals[0].device, record=False, grafts=most)
    return augmenter(originals, plans, starts=starts, crop=crop, outlines=outlines, painter=painter)


def _work(
    numbers: Numbers, volumes: Numbers, stages: Stages, crop: Shape, box: Shape, painter: LesionPainter | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images before noise, truths, brains and samples of the heads.

    The work is the same for every batch of these stages. It overwrites the image volumes.
    """
    scans = ScanNumbers(*(numbers[f"scan_{name}"] for name in ScanNumbers._fields))
    air, width = numbers["unit"].T[:, :, None, None, None]
    volumes["pair"][:, 0] -= air  # what lies outside a case is air
    start = scans.start[:, :, None, None, None]
    if stages.deform:
        index = indices(numbers["affine"], volumes["velocity"], numbers["apart"], crop) + start
    else:
        index = identity(crop, device=start.device)[None] + start
    outline = _outline_at(volumes["outline"], numbers["placement"], index) if stages.lesions else None
    if stages.moves:
        index = index + _displacement(index, outline, numbers, volumes)
    moved = stages.deform or stages.moves
    pair = look_up_each(volumes["pair"], index) if moved else volumes["pair"]
    image = (pair[:, 0] / width).clamp_min(0)
    truth = (pair[:, 1] > 0.5).float() if stages.truth else torch.zeros_like(image)
    sample = volumes["coarse"]
    brain = pair[:, -1].round() if stages.brain else torch.full_like(image, -1.0)
    if stages.tissue:
        codes = look_up_each(volumes["codes"], index, nearest=True)[:, 0] if moved else volumes["codes"][:, 0]
        known = numbers["known"][:, None, None, None] > 0
        brain = torch.where(known, brain_codes(codes).float(), brain)
        noises = (
            grain(volumes["nodes"], numbers["grain_apart"], crop)
            if "nodes" in volumes
            else image[:, None].expand(-1, 3, -1, -1, -1)
        )
        if stages.paint:
            image = _painted(image, codes, numbers, texture=0.7 * noises[:, 1] + 0.5 * volumes["speckle"])
            sample = _painted(sample, volumes["few_codes"], numbers, kept=_kept(volumes, numbers))
        if stages.confounders:
            image = _confounded(image, index, codes, noises[:, 1], numbers)
        if outline is not None:
            allowed = brain_codes(codes) & (codes != _VENTRICLE)
            new = lay_truth(outline, allowed, truth)
            image = painter(image, new) if painter else _infarcted(image, new, codes, noises, numbers, volumes)
            truth = torch.maximum(truth, new)
            sample = _sample_with_lesion(sample, numbers, volumes)
    if stages.strip:
        image, sample = _taken_off(image, sample, truth, index, numbers, volumes)
    if stages.scan:
        image = acquire(image, scans, box=box)
    sample = add_noise(bare(sample, scans, box), scans.level[:, 2], volumes["hiss"][None])
    return image, truth, brain, sample.flatten(1).sort().values


def _outline_at(outlines: Float[Tensor, "b n x y z"], placement: Float[Tensor, "b n 3 4"], index: Tensor) -> Volumes:
    """Return the union of each head's outlines, 0 or 1, at points given in the head's voxels."""
    rooms, places = outlines.flatten(0, 1)[:, None], placement.flatten(0, 1)
    count = outlines.shape[1]
    outline_index = carry_all(places, index.repeat_interleave(count, dim=0) if len(index) > 1 else index)
    return (look_up_each(rooms, outline_index).unflatten(0, (-1, count)).amax((1, 2)) > 0.5).float()


def _displacement(index: Tensor, outline: Volumes | None, numbers: Numbers, volumes: Numbers) -> Tensor:
    """Return the displacement of tissue inside a head: near lesions, at ventricles and sulci, and around a mass."""
    looks, shifts = numbers["lesion"], numbers["shift"]
    around = around_at(volumes["around"], index)
    direction = around[:, :3]
    if outline is not None:
        outline = outline * (around[:, 3] > 0.5)
    inside = torch.zeros_like(index[:, 0]) if outline is None else outline
    step = widen(index, direction, near_lesion(inside), inside, shifts, looks[:, _LOOKS_WIDEN]) + push(index, shifts)
    return step if outline is None else step + pull(outline, looks[:, _LOOKS_PULL])


def _painted(
    image: Volumes, codes: Volumes, numbers: Numbers, *, texture: Volumes | None = None, kept: Tensor | None = None
) -> Volumes:
    """Blend an image with one painted from the tissues, or replace it."""
    share, uneven, blur_mm = numbers["paint"][:, :, None, None, None].unbind(1)
    painted = numbers["palette"].gather(1, codes.flatten(1).long()).view_as(image)
    if texture is not None:
        painted = painted * (1 + uneven * texture * brain_codes(codes))
        painted = blur_each(painted, blur_mm.flatten())
    if kept is not None:
        painted = painted * kept
    return ((1 - share) * image + share * painted).clamp_min(0)


def _confounded(image: Volumes, index: Tensor, codes: Volumes, noise: Volumes, numbers: Numbers) -> Volumes:
    """Add structures that look like a lesion and are none."""
    white = _any_of(codes, _WHITES)
    ventricle, sulcus = codes == _VENTRICLE, codes == _SULCUS
    outside = ~brain_codes(codes)
    grey = ~(white | ventricle | sulcus | outside)
    classes = torch.stack([white, grey, sulcus, ventricle, outside], dim=1).float()
    image = white_matter_disease(image, ventricle, codes == _WHITE, noise, numbers["caps"])
    return draw_blobs(image, index, numbers, classes).clamp_min(0)


def _infarcted(
    image: Volumes, truth: Volumes, codes: Volumes, noises: Tensor, numbers: Numbers, volumes: Numbers
) -> Volumes:
    fluid = (codes == _SULCUS) | (codes == _VENTRICLE)
    where = Where(_any_of(codes, _WHITES), codes == _CORTEX, fluid, ~brain_codes(codes))
    return infarct(image, truth, numbers["lesion"], noises, volumes["speckle"], where)


def _sample_with_lesion(sample: Volumes, numbers: Numbers, volumes: Numbers) -> Volumes:
    """Add the approximate effect of lesions to the coarse head: fluid and scar in proportion."""
    shape = sample.shape[1:]
    places = identity((shape[0], shape[1], shape[2]), device=sample.device)[None] * COARSE
    outline = _outline_at(volumes["outline"], numbers["placement"], places) * brain_codes(volumes["few_codes"])
    n: Ingredients[Tensor] = Ingredients(*(column[:, None, None, None] for column in numbers["lesion"].unbind(1)))
    fluid = (1 - torch.special.ndtr(n.csf_cut)) * (n.csf_cut < 5)
    scar = (1 - n.flatness) * n.white_factor * sample + n.flatness * n.gliosis_level
    shown = outline * (n.inset_mm > 0)
    return sample + shown * (torch.minimum(fluid * n.cavity_level + (1 - fluid) * scar, sample) - sample)


def _taken_off(
    image: Volumes,
    sample: Float[Tensor, "b x y z"],
    truth: Volumes,
    index: Tensor,
    numbers: Numbers,
    volumes: Numbers,
) -> tuple[Volumes, Float[Tensor, "b x y z"]]:
    """Remove the skull or the face, as data sharing does."""
    around = around_at(volumes["around"], index)
    near = blur_evenly(truth, 2.0) > 0.05  # a lesion at the rim is not cut off
    image = image * ((_inside(around, numbers) & ~_face(around, numbers)) | near)
    return image, sample * ~_face(volumes["few_around"], numbers)


def _kept(volumes: Numbers, numbers: Numbers) -> Tensor:
    """Return a mask of what a skull strip leaves of coarse heads; everything if nothing is stripped."""
    if "few_around" not in volumes:
        return torch.ones_like(volumes["few_codes"], dtype=torch.bool)
    return _inside(volumes["few_around"], numbers)


def _inside(around: Tensor, numbers: Numbers) -> Tensor:
    edge = numbers["strip"][:, None, None, None]
    return (around[:, -2] > edge) | (edge < 0)


def _face(around: Tensor, numbers: Numbers) -> Tensor:
    return (around[:, -1] > 0.5) & (numbers["deface"][:, None, None, None] > 0)


def _any_of(codes: Volumes, kinds: Sequence[int]) -> Tensor:
    mask = codes == kinds[0]
    for kind in kinds[1:]:
        mask = mask | (codes == kind)
    return mask
