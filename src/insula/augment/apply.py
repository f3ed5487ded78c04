"""Plans carried out on a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.augment.gather import Desk, Stages, numbers_of, pack, unpack
from insula.augment.graft import graft
from insula.augment.original import Original, bare, brain_at
from insula.augment.plan import Augmentation
from insula.nn import Recorder
from insula.simulate import ScannerLook
from insula.simulate.deform import carry_all, indices
from insula.simulate.fields import blur_each, identity, look_up_each, noise, put
from insula.simulate.scanner import ScanNumbers, acquire, add_noise, disturb_each
from insula.types import Shape

__all__ = ["Augmented", "Augmenter", "augment"]

Volumes = Float[Tensor, "b i j k"]


class Augmented(NamedTuple):
    """Crops, and what their whole heads look like."""

    image: Volumes
    """Air 0, white matter about 1; not normalised."""
    truth: Volumes
    """0 or 1."""
    sample: Float[Tensor, "b n"]
    """Intensities of each whole head as it would be shown, at every eighth voxel, sorted: a crop can be normalised as its head
    would be. The skull strip, contrast, bias field, thick slices and noise are in it; point spread and what went wrong in the
    scan change these intensities little, a graft and a deformation less."""


class Augmenter:
    """Cuts, deforms, grafts, strips and scans: each item by its own plan, all on the cases' device.

    Only the voxels of the crop are computed, read from the whole case: it turns about the crop's middle, and what comes in from
    outside the crop is real. Image and truth move together, in one look-up. The same plans on the same kind of device
    give the same result, and an item's result does not depend on what else is in the batch, but for rounding.

    The device is never waited for. On a GPU, what every batch needs is recorded and replayed: several hundred small kernels,
    which cost more in starting than in computing.

    Args:
        device: of the cases.
        record: on a GPU; off to look into the work with a debugger.
    """

    def __init__(self, device: torch.device, *, record: bool = True) -> None:
        self.device = device
        self._desk, self._recorder = Desk(device), Recorder(device, on=record)

    def __call__(
        self, originals: Sequence[Original], plans: Sequence[Augmentation], *, starts: Sequence[Shape], crop: Shape,
        donors: Sequence[Bool[Tensor, "i j k"]] = (),
    ) -> Augmented:  # fmt: skip
        """One batch.

        Args:
            originals: whole cases at 1 mm, all of one box.
            plans: one each.
            starts: the crop's first voxel in each case.
            crop: voxels of the crop along each axis; all of a case, or less.
            donors: the outlines that the plans' grafts number, on the cases' grid.
        """
        stages, box = Stages.of(plans), originals[0].box
        flat, layout = pack(numbers_of(originals, plans, starts, crop))
        held = self._desk.place("numbers", len(flat))
        held.copy_(put(flat, self.device))
        volumes = self._desk.lay_out(originals, plans, starts, crop, donors)
        key = (stages, crop, layout, tuple(volume.data_ptr() for volume in volumes.values()))
        image, truth, sample = self._recorder.run(
            key, lambda: _work(unpack(held, layout), volumes, stages, crop, box)
        )  # fmt: skip
        if self._recorder.on:  # the next batch overwrites what was recorded
            truth, sample = truth.clone(), sample.clone()
        looks = [plan.scanner or ScannerLook() for plan in plans]
        image = disturb_each(image, looks)
        grain = self._desk.place("noise", len(plans), 2, *crop)
        for part, look in zip(grain, looks, strict=True):
            part.copy_(noise((2, *crop), seed=look.seed + 1, device=self.device)) if look.noise else part.zero_()
        return Augmented(add_noise(image, unpack(held, layout)["scan_level"][:, 2], grain), truth, sample)


def augment(
    originals: Sequence[Original], plans: Sequence[Augmentation], *, starts: Sequence[Shape], crop: Shape,
    donors: Sequence[Bool[Tensor, "i j k"]] = (),
) -> Augmented:  # fmt: skip
    """One batch by an `Augmenter` of its own: for a look at what plans do."""
    once = Augmenter(originals[0].device, record=False)
    return once(originals, plans, starts=starts, crop=crop, donors=donors)


def _work(
    numbers: Mapping[str, Tensor], volumes: Mapping[str, Tensor], stages: Stages, crop: Shape, box: Shape
) -> tuple[Tensor, Tensor, Tensor]:
    """The same work for every batch of these stages: images before noise, truths, samples of the heads. It uses up the images."""
    scans = ScanNumbers(*(numbers[f"scan_{name}"] for name in ScanNumbers._fields))
    air, width = numbers["unit"].T[:, :, None, None, None]
    volumes["pair"][:, 0] -= air  # what lies outside a case is air
    start = scans.start[:, :, None, None, None]
    if stages.deform:
        index = indices(numbers["affine"], volumes["velocity"], numbers["apart"], crop) + start
        image, truth = look_up_each(volumes["pair"], index).unbind(1)
    else:
        index = identity(crop, device=start.device)[None] + start
        image, truth = volumes["pair"].unbind(1)
    image, truth = (image / width).clamp_min(0), (truth > 0.5).float()
    if stages.graft:
        outline = look_up_each(volumes["donor"][:, None], carry_all(numbers["placement"], index))[:, 0] > 0.5
        noises = volumes["uneven"], volumes["grain"]
        image, truth = graft(image, truth, outline, numbers["tissue"], numbers["infarct"], *noises)
    if stages.strip:
        near = blur_each(truth, torch.full((1,), 2.0, device=truth.device)) > 0.05  # a lesion at the rim is not cut off
        kept = numbers["keep"][:, None, None, None] > 0
        image = image * (brain_at(volumes["brain"], index) | near | kept)
    if stages.scan:
        image = acquire(image, scans, box=box)
    sample = add_noise(bare(volumes["coarse"], scans, box), scans.level[:, 2], volumes["speckle"][None])
    return image, truth, sample.flatten(1).sort().values
