"""Simulates a whole cohort in the layout of ATLAS R2.0, so that every command can be tried without ATLAS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from insula.augment import Given, Original, OutlineSet, simulate_head
from insula.config import SimulateConfig
from insula.errors import CannotCreate, UsageError
from insula.geometry import Grid, resample
from insula.io import write_mask, write_scan, write_text
from insula.simulate import FORM, Outline, ScannerLook
from insula.synthetic.sources import Part, Sources
from insula.volume import Mask

__all__ = ["ATLAS_GRID", "CaseSpec", "SiteSpec", "plan_cohort", "write_case", "write_sheets"]

ATLAS_GRID = Grid((197, 233, 189), [[1, 0, 0, -98], [0, 1, 0, -134], [0, 0, 1, -72], [0, 0, 0, 1]])
"""MNI152NLin2009aSym at 1 mm, as ATLAS R2.0 is stored."""

_SHEET = "simulated_ATLAS_2.0_MetaData.csv"
_FACTS = "simulation.json"
_COLUMNS = (
    "Dataset",
    "Site ID",
    "Subject ID",
    "Session",
    "Days Post Stroke",
    "Chronicity",
    "ATLAS 1.2 Subject ID",
    "Simulated From Host",
    "Simulated From Outlines",
    "Sources Part",
)


@dataclass(frozen=True, kw_only=True)
class SiteSpec:
    """One simulated site: its scanner, and its own hosts and outlines, which no other site shares."""

    name: str
    part: Part
    """Part of the sources that its heads and outlines come from."""
    look: ScannerLook
    """Scanner properties that all its scans share."""
    tesla: float
    """Field strength [T]; already part of `look`."""
    anonymised: Literal["strip", "deface", "no"]
    """What the site removes before it shares data: the skull, the face, or nothing."""
    gain: float
    """White-matter intensity in its files."""
    hosts: tuple[int, ...]
    """Indices of its hosts in the sources of that part; `acute` and `chronic` index the outlines."""
    acute: tuple[int, ...]
    chronic: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseSpec:
    """Everything needed to make one case, and nothing else; can be sent to another process."""

    subject: str
    site: SiteSpec
    host: Original
    shapes: tuple[Outline, ...]
    phase: Literal["acute", "chronic"]
    days: float | None
    key: tuple[int, ...]
    """Seed of its random numbers."""
    unfamiliar: bool = False
    """Whether its lesions have an appearance that training never draws."""


def plan_cohort(sources: dict[Part, Sources], *, cases: int, sites: int, controls: float, seed: int) -> list[CaseSpec]:
    """Assign hosts and outlines to sites, then subjects to sites; writes no file.

    No two sites share a host or an outline, so a split by centre never has one on both sides.

    Args:
        sources: the sources of each part that is used.
        cases: number of cases, spread unevenly over the sites as in real cohorts.
        sites: number of sites.
        controls: fraction of subjects without a lesion.
        seed: the same seed gives the same cohort.

    Raises:
        UsageError: more sites than hosts, fewer cases than sites, or a fraction of controls outside 0 to 1.
    """
    sources = {name: replace(part, hosts=part.site_hosts) for name, part in sources.items()}
    hosts = sum(len(part.hosts) for part in sources.values())
    if not 1 <= sites <= hosts:
        raise UsageError(
            "`sites`", sites, f"is not between 1 and {hosts}, the number of hosts", "each site needs a host of its own"
        )
    if cases < sites:
        raise UsageError("`cases`", cases, f"is fewer than the {sites} sites", "ask for more")
    if not 0 <= controls <= 1:
        raise UsageError("`controls`", controls, "is not between 0 and 1", "use 0.05 for one subject in twenty")
    rng = np.random.default_rng(seed)
    specs = _sites(sources, sites, rng)
    weights = rng.dirichlet(np.full(sites, 3.0))
    counts = 1 + rng.multinomial(cases - sites, weights)
    out = []
    for number, (site, count) in enumerate(zip(specs, counts, strict=True)):
        for place in range(int(count)):
            out.append(_subject(site, sources[site.part], number, place, controls, seed))
    return out


def _sites(sources: dict[Part, Sources], count: int, rng: np.random.Generator) -> list[SiteSpec]:
    """Assign sites to parts in proportion to their hosts, with at least one site per part while sites last."""
    parts = [part for part in sources if sources[part].hosts]
    share = dict.fromkeys(parts[:count], 1)
    for _ in range(count - len(share)):
        part = max(share, key=lambda p: len(sources[p].hosts) / (share[p] + 1))
        share[part] += 1
    out: list[SiteSpec] = []
    for part, sites in share.items():
        material = sources[part]
        dealt = [_deal(len(pool), sites, rng) for pool in (material.hosts, material.acute, material.chronic)]
        for place in range(sites):
            tesla = float(rng.choice([1.5, 3.0]))
            out.append(
                SiteSpec(
                    name=f"R{len(out) + 1:03d}",
                    part=part,
                    look=ScannerLook.sample(rng).at_field(tesla),
                    tesla=tesla,
                    anonymised=rng.choice(["strip", "deface", "no"], p=[0.3, 0.4, 0.3]).item(),
                    gain=float(10 ** rng.uniform(1.5, 3.9)),
                    hosts=dealt[0][place],
                    acute=dealt[1][place],
                    chronic=dealt[2][place],
                )
            )
    return out


def _deal(count: int, sites: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    order = rng.permutation(count)
    return [tuple(sorted(int(n) for n in order[place::sites])) for place in range(sites)]


def _subject(site: SiteSpec, sources: Sources, number: int, place: int, controls: float, seed: int) -> CaseSpec:
    key = (seed, number, place)
    rng = np.random.default_rng((*key, 0))
    host = sources.hosts[int(rng.choice(site.hosts))]
    phase: Literal["acute", "chronic"] = "chronic" if rng.random() < 0.6 else "acute"
    count = 0 if rng.random() < controls else 1 + int(rng.random() < 0.3)
    shapes = []
    for _ in range(count):
        first, second = (site.acute, site.chronic) if rng.random() < 0.75 else (site.chronic, site.acute)
        pool, shelf = (first, first is site.acute) if first else (second, second is site.acute)
        if pool:
            shapes.append((sources.acute if shelf else sources.chronic)[int(rng.choice(pool))])
    days = float(round(rng.uniform(180, 2500) if phase == "chronic" else rng.uniform(2, 150)))
    reported_days = None if rng.random() < 0.1 else days  # sheets have gaps
    return CaseSpec(
        subject=f"sub-r{number + 1:03d}s{place + 1:03d}",
        site=site,
        host=host,
        shapes=tuple(shapes),
        phase=phase,
        days=reported_days,
        key=key,
    )


def write_case(spec: CaseSpec, folder: Path) -> None:
    """Simulate one case and write its scan and, last, its mask; a case that is already complete is left alone.

    Args:
        spec: from `plan_cohort`.
        folder: the folder of the cohort; subfolders are created.
    """
    anat = folder / "Training" / spec.site.name / spec.subject / "ses-1" / "anat"
    stem = f"{spec.subject}_ses-1_space-MNI152NLin2009aSym"
    scan, mask = anat / f"{stem}_T1w.nii.gz", anat / f"{stem}_label-L_desc-T1lesion_mask.nii.gz"
    if scan.exists() and mask.exists():
        return
    anat.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((*spec.key, 1))
    site = spec.site
    look = replace(
        site.look,
        seed=int(rng.integers(2**31)),
        noise=site.look.noise * float(rng.uniform(0.8, 1.2)),
        bias=site.look.bias * float(rng.uniform(0.7, 1.3)),
        gamma=site.look.gamma * float(np.exp(rng.normal(0, 0.03))),
    )
    config = SimulateConfig(
        strip_fraction=float(site.anonymised == "strip"),
        deface_fraction=float(site.anonymised == "deface"),
    )
    device = torch.device("cpu")
    head = simulate_head(
        spec.host.to(device),
        OutlineSet(acute=spec.shapes, chronic=()),
        config,
        rng,
        Given(numbers=tuple(range(len(spec.shapes))), phase=spec.phase, scanner=look),
        unfamiliar=spec.unfamiliar,
    )
    source = Grid(head.image.shape, spec.host.to_atlas)
    image = resample(head.image.numpy(), source, ATLAS_GRID)
    lesion, known = (resample(volume.numpy(), source, ATLAS_GRID) > 0.5 for volume in (head.truth, head.brain))
    write_scan(scan, np.clip(image, 0, None) * np.float32(site.gain), ATLAS_GRID)
    if spec.host.labelled:
        write_mask(anat / f"{stem}_desc-brain_mask.nii.gz", Mask(known, ATLAS_GRID))
    write_mask(mask, Mask(lesion, ATLAS_GRID))


def write_sheets(specs: Sequence[CaseSpec], folder: Path, plan: Mapping[str, object]) -> None:
    """Write the metadata sheet, a description of each site, and `simulation.json`, which records the plan.

    Call it before the first case is written, so that the folder is described from the start.

    Args:
        specs: every case of the cohort.
        folder: the folder of the cohort; empty, or begun with the same plan.
        plan: everything that determines the cohort: arguments, seeds, fingerprints of the sources.

    Raises:
        CannotCreate: the folder holds another cohort, whose sheets would be wrong for a mixture.
    """
    plan = {**plan, "torch": torch.__version__, "simulator": FORM}
    _refuse_another(folder, plan)
    sites = {spec.site.name: spec.site for spec in specs}
    tree = {
        "notice": "Every scan of this cohort is simulated; no lesion in it ever was a patient's.",
        "plan": plan,
        "sites": [asdict(site) for site in sites.values()],
    }
    write_text(folder / _FACTS, json.dumps(tree, indent=2) + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for spec in specs:
        days = "" if spec.days is None else f"{spec.days:g}"
        chronicity = "Chronic" if spec.phase == "chronic" else "Acute"
        outlines = "+".join(shape.name for shape in spec.shapes)
        writer.writerow(
            [
                "simulated",
                spec.site.name,
                spec.subject,
                "ses-1",
                days,
                chronicity,
                "",
                spec.host.name,
                outlines,
                spec.site.part,
            ]
        )
    write_text(folder / _SHEET, table.getvalue())
    for site in sites.values():
        (folder / "Training" / site.name).mkdir(parents=True, exist_ok=True)
        description = {"Name": f"Simulated infarcts, site {site.name}", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
        write_text(
            folder / "Training" / site.name / "dataset_description.json", json.dumps(description, indent=2) + "\n"
        )


def _refuse_another(folder: Path, plan: Mapping[str, object]) -> None:
    try:
        existing_plan = json.loads((folder / _FACTS).read_text(encoding="utf-8"))["plan"]
    except FileNotFoundError:
        existing_plan = plan if not (folder / "Training").exists() else None
    except (ValueError, KeyError, TypeError):
        existing_plan = None
    if existing_plan != plan:
        rule = "holds another cohort, and the sheets of two in one folder would be wrong"
        raise CannotCreate("the output folder", folder, rule, "choose another `out`")
