"""Simulates one head of every kind, for inspection before training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch

from insula.augment import Augmentation, Given, Original, OutlineSet, SimulatedHead, carry_out, draw_head
from insula.config import SimulateConfig
from insula.errors import NoInput
from insula.simulate import (
    Acute,
    Chronic,
    Confounders,
    Haemorrhagic,
    Lacune,
    Laminar,
    ScannerLook,
    Subacute,
    Tissue,
    UnfamiliarKind,
)
from insula.simulate.confounders import KINDS
from insula.synthetic.sources import Sources

__all__ = ["Exhibit", "gallery_heads"]

_LOOKS = (Chronic, Subacute, Acute, Haemorrhagic, Laminar, Lacune)
_PLAIN = SimulateConfig(
    control_fraction=0,
    lacune_fraction=0,
    confounders=0,
    strip_fraction=0,
    deface_fraction=0,
    painted_fraction=0,
    blend_fraction=0,
)
_SCANNER = ScannerLook(noise=0.02, blur_mm=0.3, seed=1)
_LEAST_ML, _MOST_ML = 15.0, 160.0  # volume range of the outlines shown
_TRIES = 30


@dataclass(frozen=True, eq=False, kw_only=True)
class Exhibit:
    """What a gallery shows of a simulated head."""

    title: str
    note: str
    """What to look for in the picture."""
    head: SimulatedHead
    focus: tuple[int, int, int]
    """Voxel through which the slices are cut."""


def gallery_heads(sources: Sources, *, seed: int, each: int = 2) -> Iterator[Exhibit]:
    """Yield heads with every kind of infarct and of confounder, with unfamiliar lesions, and stripped or defaced.

    Args:
        sources: hosts and outlines of one part.
        seed: the same seed gives the same heads.
        each: number of heads for each kind of infarct; there is one of everything else.

    Raises:
        NoInput: no host has an image.
    """
    device = torch.device("cpu")
    hosts = [host.to(device) for host in sources.hosts]
    scanned = [host for host in hosts if host.image is not None and host.skull]
    if not scanned:
        raise NoInput("the hosts", len(hosts), "have no image of a whole head", "add T1w heads to the folder")
    outlines = OutlineSet(sources.acute, sources.chronic)
    rng = np.random.default_rng(seed)
    for kind in _LOOKS:
        for _ in range(each):
            yield _infarct(kind, rng, scanned, outlines)
    for unfamiliar in get_args(UnfamiliarKind):
        yield _unfamiliar(unfamiliar, rng, scanned, outlines)
    for confounder in KINDS:
        yield _confounder(confounder, rng, scanned, outlines)
    whole = _pick(rng, scanned)
    for title, strip, deface in (
        ("stripped", 0.5, False),
        ("stripped, a rim left", 0.12, False),
        ("defaced", None, True),
    ):
        plan = Augmentation(strip=strip, deface=deface, scanner=_SCANNER)
        yield _head(title, "as heads look after anonymisation", whole, plan, outlines)
    if painted := [host for host in hosts if host.image is None]:
        plan = draw_head(rng, painted[0], outlines, _PLAIN, Given(numbers=(), scanner=_SCANNER, deform=False))
        yield _head("painted", "from a label map, with a random contrast", painted[0], plan, outlines)


def _pick(rng: np.random.Generator, hosts: list[Original]) -> Original:
    return hosts[int(rng.integers(len(hosts)))]


def _outline(rng: np.random.Generator, outlines: OutlineSet, *, lacune: bool) -> int:
    """Draw an outline that is large enough to show."""
    if lacune:
        return int(rng.choice(outlines.ovoids))
    count = len(outlines.acute) + len(outlines.chronic)
    number = int(rng.integers(count))
    for _ in range(_TRIES):
        if _LEAST_ML < outlines.all[number].volume_ml < _MOST_ML:
            break
        number = int(rng.integers(count))
    return number


def _infarct(
    kind: type[Chronic | Subacute | Acute | Haemorrhagic | Laminar | Lacune],
    rng: np.random.Generator,
    hosts: list[Original],
    outlines: OutlineSet,
) -> Exhibit:
    host, number = _pick(rng, hosts), _outline(rng, outlines, lacune=kind is Lacune)
    plan = draw_head(rng, host, outlines, _PLAIN, Given(numbers=(number,), look=kind.sample(rng), scanner=_SCANNER))
    return _head(f"{kind.__name__.lower()} infarct", (kind.__doc__ or "").splitlines()[0], host, plan, outlines)


def _unfamiliar(kind: UnfamiliarKind, rng: np.random.Generator, hosts: list[Original], outlines: OutlineSet) -> Exhibit:
    host, number = _pick(rng, hosts), _outline(rng, outlines, lacune=False)
    plan = draw_head(rng, host, outlines, _PLAIN, Given(numbers=(number,), look=Chronic.sample(rng), scanner=_SCANNER))
    assert plan.lesions is not None
    for extra in range(_TRIES):  # the kind is drawn from the lesion's seed
        chosen = replace(plan.lesions, seed=plan.lesions.seed + extra)
        if get_args(UnfamiliarKind)[int(np.random.default_rng(chosen.seed).integers(3))] == kind:
            plan = replace(plan, lesions=chosen)
            break
    return _head(
        f"unfamiliar: {kind}", "for testing only; never drawn in training", host, plan, outlines, unfamiliar=True
    )


def _confounder(kind: str, rng: np.random.Generator, hosts: list[Original], outlines: OutlineSet) -> Exhibit:
    host = _pick(rng, hosts)
    middle = host.places[Tissue.WHITE].mean(0) + np.array([25.0, 0.0, 10.0])
    drawn = Confounders.sample(
        rng,
        places=host.places,
        to_atlas=host.to_atlas,
        csf=host.levels.csf,
        only=kind,  # type: ignore[arg-type]
        lesion=tuple(middle.tolist()),
    )
    if kind == "atrophy":
        drawn = replace(drawn, shift=drawn.shift._replace(atrophy_mm=1.2))
    plan = Augmentation(confounders=drawn, scanner=_SCANNER)
    centre = drawn.blobs[0].centre if drawn.blobs else drawn.shift.side_centre if kind == "wide_ventricle" else None
    if centre is None:
        centre = tuple(host.places[Tissue.VENTRICLE].mean(0).tolist()) if len(host.places[Tissue.VENTRICLE]) else None
    title = f"not a stroke: {kind.replace('_', ' ')}"
    return _head(title, "never part of the truth", host, plan, outlines, focus=centre)


def _head(
    title: str,
    note: str,
    host: Original,
    plan: Augmentation,
    outlines: OutlineSet,
    *,
    unfamiliar: bool = False,
    focus: tuple[float, ...] | None = None,
) -> Exhibit:
    head = carry_out(host, plan, outlines, unfamiliar=unfamiliar)
    truth = head.truth > 0
    if bool(truth.any()):
        most = [int(truth.sum(tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]
    else:
        most = [n // 2 for n in host.box] if focus is None else [round(v) for v in focus]
    i, j, k = (min(max(v, 0), n - 1) for v, n in zip(most, host.box, strict=True))
    return Exhibit(title=title, note=note, head=head, focus=(i, j, k))
