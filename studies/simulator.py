"""Whether simulated infarcts have the right properties, in numbers: texture, effect on their surroundings, truth.

    python -m studies.simulator --data DATA [--heads 24] [--part train] [--out FOLDER]

For chronic infarcts in real lesion-free heads, without a scanner's noise:

- texture at 2 to 5 mm (difference of two Gaussian blurs of these widths at half maximum) inside lesions, at least 3 mm
  from their outline, and in healthy tissue of the same head, as fractions of white matter's intensity;
- volume of the ventricles on the lesion's side with its pull, over the volume without, outside the lesion;
- the same for the CSF of sulci within 20 mm of the lesion;
- share of the outline inside the brain that is part of the truth, and the number of components of the truth for each
  component of the outline.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from insula.augment import Augmentation, Given, LesionGrafts, Original, OutlineSet, carry_out, draw_head
from insula.config import PrepareConfig, SimulateConfig
from insula.geometry import label_components
from insula.io import write_json
from insula.simulate import Chronic, ScannerLook, Tissue
from insula.simulate.anatomy import PARENCHYMA
from insula.simulate.fields import blur
from insula.synthetic import load_sources

_FWHM = 2.3548
_BAND_MM = 2.0, 5.0
_CORE_MM, _NEAR_MM = 3.0, 20.0
_LEAST_ML = 3.0
_PLAIN = SimulateConfig(
    control_fraction=0,
    strip_fraction=0,
    deface_fraction=0,
    confounders=0,
    lacune_fraction=0,
    blend_fraction=0,
    painted_fraction=0,
    most_lesions=1,
)


def band(image: Tensor) -> np.ndarray:
    """The part of an image that varies over 2 to 5 mm."""
    fine, broad = (blur(image, mm / _FWHM) for mm in _BAND_MM)
    return (fine - broad).numpy()


def deep(mask: np.ndarray, mm: float) -> np.ndarray:
    """The part of a mask that lies at least `mm` inside it."""
    return ndimage.distance_transform_edt(mask) >= mm


def still(look: Chronic) -> Chronic:
    """The same look without displacement."""
    return replace(look, pull_mm=0.0, widening_mm=0.0)


def with_image(host: Original, image: Tensor) -> Original:
    """The same head with another image, to follow its displacements."""
    other = replace(host, image=image)
    other.__dict__["levels"] = host.levels._replace(air=0.0, width=1.0)
    other.__dict__["_anatomy"] = host._anatomy
    return other


def carried(host: Original, plan: Augmentation, outlines: OutlineSet, tissue: Sequence[Tissue]) -> Tensor:
    """The fraction of every voxel of the result that comes from these tissues."""
    mask = torch.zeros(host.box)
    for kind in tissue:
        mask += host.codes == kind
    return carry_out(with_image(host, mask), plan, outlines).image


def look_at_one(host: Original, plan: Augmentation, outlines: OutlineSet) -> dict[str, float]:
    """The measures of one head."""
    lesions = plan.lesions
    assert lesions is not None
    assert isinstance(lesions.look, Chronic)
    head = carry_out(host, plan, outlines)
    truth = head.truth.numpy() > 0
    measures: dict[str, float] = {"volume_ml": truth.sum() / 1000}
    texture, core = band(head.image), deep(truth, _CORE_MM)
    tissue = carried(host, plan, outlines, [Tissue(kind) for kind in PARENCHYMA]).numpy() > 0.5
    healthy = deep(tissue & ~truth, _CORE_MM / 2) & (ndimage.distance_transform_edt(~truth) > 10)
    if core.sum() > 200:
        measures["texture"] = float(texture[core].std())
        measures["share_below_grey"] = float((head.image.numpy()[core] < 0.4).mean())
    measures["healthy_texture"] = float(texture[healthy].std())
    calm = replace(plan, lesions=replace(lesions, look=still(lesions.look)))
    middle = np.argwhere(truth).mean(0)[0]
    half = (np.arange(host.box[0]) > host.box[0] / 2) == (middle > host.box[0] / 2)
    near = (ndimage.distance_transform_edt(~truth) < _NEAR_MM) & ~truth
    for name, kind, where in (
        ("ventricle_ratio", Tissue.VENTRICLE, half[:, None, None] & ~truth),
        ("sulcus_ratio", Tissue.SULCAL_CSF, near),
    ):
        after, before = (
            float(carried(host, variant, outlines, [kind])[torch.from_numpy(where)].sum()) for variant in (plan, calm)
        )
        if before > 500:
            measures[name] = after / before
    measures |= survival(host, plan, outlines, head.truth, head.brain)
    return measures


def survival(
    host: Original, plan: Augmentation, outlines: OutlineSet, truth: Tensor, brain: Tensor
) -> dict[str, float]:
    """The share of the outline that is in the truth, and its number of components."""
    lesions = plan.lesions
    assert lesions is not None
    solid = replace(host, tissue=torch.full_like(host.codes, int(Tissue.WHITE)))
    whole = carry_out(solid, replace(plan, lesions=_calm(lesions), confounders=None), outlines).truth > 0
    inside = whole & (brain > 0)
    pieces, outline_pieces = (label_components(mask.numpy())[1] for mask in (truth > 0, inside))
    return {
        "kept": float((truth > 0).sum() / inside.sum().clamp_min(1)),
        "pieces": pieces / max(outline_pieces, 1),
    }


def _calm(lesions: LesionGrafts) -> LesionGrafts:
    assert isinstance(lesions.look, Chronic)
    return replace(lesions, look=still(lesions.look))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--part", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder for the numbers of each head")
    arguments = parser.parse_args()
    sources = load_sources(arguments.data, part=arguments.part, box=PrepareConfig().box)
    device = torch.device("cpu")
    hosts = [host.to(device) for host in sources.hosts if host.image is not None and host.labelled]
    outlines = OutlineSet(sources.acute, sources.chronic)
    large = [n for n, outline in enumerate((*sources.acute, *sources.chronic)) if outline.volume_ml > _LEAST_ML]
    rows: list[dict[str, Any]] = []
    for n in range(arguments.heads):
        rng = np.random.default_rng((arguments.seed, n))
        host, number = hosts[int(rng.integers(len(hosts)))], large[int(rng.integers(len(large)))]
        plan = draw_head(
            rng, host, outlines, _PLAIN, Given(numbers=(number,), look=Chronic.sample(rng), scanner=ScannerLook())
        )
        row = look_at_one(host, plan, outlines)
        rows.append({"host": host.name, **row})
        print(n, host.name, {name: round(value, 3) for name, value in row.items()}, flush=True)
    print(f"\n{'n = ' + str(len(rows)):18s} {'median':>8s} {'least':>8s} {'most':>8s} {'mean':>8s}")
    for name in ("texture", "healthy_texture", "share_below_grey", "ventricle_ratio", "sulcus_ratio", "kept", "pieces"):
        values = [row[name] for row in rows if name in row]
        figures = (statistics.median(values), min(values), max(values), statistics.fmean(values))
        print(f"{name:18s} {' '.join(f'{figure:8.3f}' for figure in figures)}")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out / "simulator.json", {"part": arguments.part, "seed": arguments.seed, "heads": rows})


if __name__ == "__main__":
    main()
