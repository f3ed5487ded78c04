"""nnU-Net's input pipeline: patches are cut and augmented by processes on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.store import CaseSet

__all__ = ["PatchLoader"]

_MOST_WORKERS = 12  # nnU-Net's own default
_AHEAD = 6
_FOREGROUND = 1 / 3  # share of patches centred on a lesion
_ROOM = 1.5  # margin factor of the cut along each axis, so that rotation brings in real voxels


class PatchLoader:
    """Yields endless batches of (image, truth) in pinned memory with nnU-Net v2's default augmentation.

    The transforms are nnU-Net's own (`batchgeneratorsv2`), with the probabilities and ranges of its trainer; the
    processes are torch's.

    Args:
        cases: prepared cases.
        size: patches per batch.
        patch: size of a patch along each axis [voxels].

    Raises:
        Unavailable: `batchgeneratorsv2` is not installed.

    Source:
        Isensee 2021, nnU-Net, Nature Methods 18:203; nnunetv2's `nnUNetTrainer.get_training_transforms`.
    """

    def __init__(self, cases: CaseSet, *, size: int, patch: int) -> None:
        workers = max(1, min(_MOST_WORKERS, (os.cpu_count() or 2) - 1))
        data = _Patches(cases, size, patch, _transforms(patch))
        self._loader = torch.utils.data.DataLoader(
            data,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(1, _AHEAD // workers),
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_alone,
            persistent_workers=False,
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self._loader)


def _alone(worker: int) -> None:
    torch.set_num_threads(1)  # there are as many processes as cores
    np.random.seed(worker)


class _Patches(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, cases: CaseSet, size: int, patch: int, transforms: Any) -> None:
        self.cases, self.size, self.patch, self.transforms = cases, size, patch, transforms
        self.lesions = [mask.nonzero().to(torch.int16).cpu().numpy() for mask in cases.masks]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng(worker.id if worker else 0)
        while True:
            pairs = [self._draw(rng) for _ in range(self.size)]
            yield torch.stack([image for image, _ in pairs]), torch.stack([truth for _, truth in pairs])

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        n = int(rng.integers(len(self.cases)))
        image, mask, lesion = self.cases.images[n], self.cases.masks[n], self.lesions[n]
        room = [min(int(_ROOM * self.patch), size) for size in image.shape]
        start = [int(rng.integers(size - part + 1)) for size, part in zip(image.shape, room, strict=True)]
        if len(lesion) and rng.random() < _FOREGROUND:
            chosen = lesion[int(rng.integers(len(lesion)))].tolist()
            start = [
                min(max(c - part // 2, 0), size - part) for c, part, size in zip(chosen, room, image.shape, strict=True)
            ]
        i, j, k = (slice(a, a + part) for a, part in zip(start, room, strict=True))
        transformed = self.transforms(
            image=image[i, j, k].float()[None], segmentation=mask[i, j, k].to(torch.int16)[None]
        )
        return transformed["image"], transformed["segmentation"].float()


def _transforms(patch: int) -> Any:
    try:
        from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
        from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
        from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
        from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
        from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
        from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
        from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
        from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
        from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
        from batchgeneratorsv2.transforms.utils.random import RandomTransform
    except ImportError:
        raise Unavailable(
            "the package", "batchgeneratorsv2", "is not installed", "run: pip install 'insula[bench]'"
        ) from None
    turn = 30 * np.pi / 180
    sometimes = [
        (0.1, GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True)),
        (
            0.2,
            GaussianBlurTransform(
                blur_sigma=(0.5, 1.0),
                synchronize_channels=False,
                synchronize_axes=False,
                p_per_channel=0.5,
                benchmark=True,
            ),
        ),
        (
            0.15,
            MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), synchronize_channels=False, p_per_channel=1),
        ),
        (
            0.15,
            ContrastTransform(
                BGContrast((0.75, 1.25)), preserve_range=True, synchronize_channels=False, p_per_channel=1
            ),
        ),
        (
            0.25,
            SimulateLowResolutionTransform(
                (0.5, 1), synchronize_channels=False, synchronize_axes=True, ignore_axes=(), p_per_channel=0.5
            ),
        ),
        (
            0.1,
            GammaTransform(
                BGContrast((0.7, 1.5)), p_invert_image=1, synchronize_channels=False, p_per_channel=1, p_retain_stats=1
            ),
        ),
        (
            0.3,
            GammaTransform(
                BGContrast((0.7, 1.5)), p_invert_image=0, synchronize_channels=False, p_per_channel=1, p_retain_stats=1
            ),
        ),
    ]
    spatial = SpatialTransform(
        (patch, patch, patch),
        patch_center_dist_from_border=0,
        random_crop=False,
        p_elastic_deform=0,
        p_rotation=0.2,
        rotation=(-turn, turn),
        p_scaling=0.2,
        scaling=(0.7, 1.4),
        p_synchronize_scaling_across_axes=1,
        bg_style_seg_sampling=False,
    )
    rest = [RandomTransform(transform, apply_probability=chance) for chance, transform in sometimes]
    return ComposeTransforms([spatial, *rest, MirrorTransform((0, 1, 2))])
