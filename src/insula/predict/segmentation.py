"""Segmentation: from a scan to a result."""

from __future__ import annotations

import platform
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from insula.checkpoint import Weights, load_weights
from insula.config import SegmentConfig
from insula.contrast import check_contrast, look_at, refuse_labels
from insula.errors import BadData
from insula.infer import InferFacts, infer_mean
from insula.postprocess import (
    ALWAYS_KEPT_ML,
    brain_flags,
    decide,
    find_brain,
    flat_contrast,
    measure_lesions,
    within_brain,
)
from insula.predict.result import Provenance, Result, WeightsProvenance
from insula.predict.standing import inputs_sha256
from insula.prepare import Prepared, prepare
from insula.types import DEFAULT_WEIGHTS, VERSION, Flag
from insula.volume import Scan

__all__ = ["segment"]

_cached = lru_cache(maxsize=2)(load_weights)
_RIM = 2  # a lesion this close to the box's edge may continue outside [voxels]


def segment(scan: Scan, config: SegmentConfig = SegmentConfig(), *, weights: str | Weights = DEFAULT_WEIGHTS) -> Result:
    """Segment one scan.

    The mask has exactly the shape, affine and orientation of the scan. Weights with a brain output give a brain mask
    too; outside of it there is no lesion and no lesion probability. For research only.

    Args:
        scan: T1w, any orientation, spacing and intensity scale, with or without skull.
        config: threshold, mirror averaging, device, precision, passes.
        weights: bundled weights by name, a file or folder, or weights already loaded.

    Returns:
        The result; an empty mask carries its reason.

    Raises:
        BadData: the image is not a scan of a head, or not T1w, unless `config.assume_t1w` is set.
        UsageError, Unavailable: the threshold or the device is not possible.

    Example:
        >>> result = insula.segment(insula.read_scan("sub-01_T1w.nii.gz"))  # doctest: +SKIP
        >>> result.volume_ml, len(result.lesions)  # doctest: +SKIP
        (12.4, 2)
    """
    loaded = _cached(weights) if isinstance(weights, str) else weights
    card = loaded.card
    if not config.assume_t1w:
        refuse_labels(scan.image)
    try:
        prepared = prepare(scan, card.prepare)
        contrast = check_contrast(look_at(scan, prepared, card.prepare), assume_t1w=config.assume_t1w)
    except BadData as error:
        raise _with_cause(error, scan) from None
    output, facts = infer_mean(loaded.networks, prepared.image, config, scaling=card.calibration.scaling)
    brain = None if output.brain is None else find_brain(prepared.bring_home(output.brain.numpy()), scan.grid)
    prob = within_brain(prepared.bring_home(output.lesion.numpy()), brain)
    threshold = card.threshold if config.threshold is None else config.threshold
    least = card.min_lesion_ml if config.min_lesion_ml is None else config.min_lesion_ml
    mask = decide(prob, scan.grid, threshold=threshold, min_lesion_ml=least, brain=brain, calibration=card.calibration)
    flags = (
        *scan.flags,
        *prepared.flags,
        *contrast,
        *_at_the_rim(output.lesion.numpy() >= threshold),
        *brain_flags(brain),
        *_contrast_within(scan, prepared, output.brain),
    )
    return Result(
        scan=scan,
        mask=mask,
        brain=brain,
        prob=prob,
        lesions=measure_lesions(mask, prob, card.calibration),
        threshold=threshold,
        flags=flags,
        provenance=_provenance(loaded, facts, least, inputs_sha256(scan, config, loaded)),
        calibration=card.calibration,
    )


def _with_cause(error: BadData, scan: Scan) -> BadData:
    """Return the error of an unrecognised image, or one that names its slices with a damaged scale, if it has any."""
    odd = [flag.text for flag in scan.flags if flag.code == "slice-scaling-odd"]
    if not odd:
        return error
    more = f" ({len(odd) - 1} more like it)" if len(odd) > 1 else ""
    rule = f"is not recognised as a T1w scan of a head: {odd[0][0].lower()}{odd[0][1:].rstrip('.')}{more}"
    return BadData("the image", "", rule, "correct the header, or export the series again")


def _contrast_within(scan: Scan, prepared: Prepared, brain: Tensor | None) -> tuple[Flag, ...]:
    """Return a warning of a spin echo's contrast, unless the header has said so or black and white are exchanged."""
    known = {flag.code for flag in (*scan.flags, *prepared.flags)}
    if brain is None or known & {"spin-echo", "contrast-inverted"}:
        return ()
    step = slice(None, None, 2)
    return flat_contrast(prepared.image[0, 0, step, step, step].numpy(), brain[step, step, step].numpy())


def _at_the_rim(voxels: np.ndarray) -> tuple[Flag, ...]:
    inner = voxels[_RIM:-_RIM, _RIM:-_RIM, _RIM:-_RIM]
    if int(voxels.sum()) == int(inner.sum()):
        return ()
    return (Flag("lesion-at-box-rim", "A lesion touches the edge of the network's box; it may continue outside."),)


def _provenance(weights: Weights, facts: InferFacts, min_lesion_ml: float, inputs: str) -> Provenance:
    card = weights.card
    weights_provenance: WeightsProvenance = {
        "name": card.name,
        "sha256": weights.sha256,
        "trained_on": card.provenance.get("trained_on", "unknown"),
    }
    if members := card.provenance.get("members"):
        weights_provenance["members"] = members
    return {
        "insula": VERSION,
        "inputs_sha256": inputs,
        "weights": weights_provenance,
        "inference": {
            **vars(facts),
            "min_lesion_ml": min_lesion_ml,
            "least_chance": card.calibration.least_chance,
            "lesion_chance": card.calibration.lesion,
            "always_kept_ml": ALWAYS_KEPT_ML,
        },
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "machine": platform.machine(),
    }
