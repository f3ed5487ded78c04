"""`insula cohort simulate` and `insula cohort gallery`: simulated heads with known lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from insula.cli.console import bar

__all__ = ["gallery", "simulate"]


def simulate(
    data: Path,
    out: Path,
    cases: int = 200,
    sites: int = 10,
    controls: float = 0.05,
    part: Literal["all", "train", "validation", "test"] = "all",
    unfamiliar: bool = False,
    seed: int = 0,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Simulate a cohort of heads with known lesions, in the layout of ATLAS R2.0.

    No two sites share a host or a lesion outline. Continues where an earlier run stopped; the same seed gives the same
    bytes.

    Args:
        data: Folder of hosts, label maps and lesion outlines.
        out: Folder for the cohort.
        cases: Number of cases.
        sites: Number of sites (scanners), named R001 and so on.
        controls: Share of cases without a lesion.
        part: Part of the sources to use; the bundled weights were trained on `train`.
        unfamiliar: Draw kinds of lesion that training never draws, in the same subjects.
        seed: Random seed.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from dataclasses import replace
    from functools import partial

    from insula.cohort import each, processors
    from insula.config import PrepareConfig
    from insula.io import OutputFolder
    from insula.synthetic import Part, load_sources, plan_cohort, write_case, write_sheets

    parts: tuple[Part, ...] = ("train", "validation", "test") if part == "all" else (part,)
    with OutputFolder(out, nested=True) as folder:
        print(f"reading {data} ...", flush=True)
        sources = {name: load_sources(data, part=name, box=PrepareConfig().box) for name in parts}
        specs = plan_cohort(sources, cases=cases, sites=sites, controls=controls, seed=seed)
        specs = [replace(spec, unfamiliar=unfamiliar) for spec in specs]
        plan = {
            "cases": cases,
            "sites": sites,
            "controls": controls,
            "part": part,
            "seed": seed,
            "unfamiliar": unfamiliar,
        }
        write_sheets(
            specs, folder, plan | {"sources_sha256": {name: source.fingerprint for name, source in sources.items()}}
        )
        with bar(len(specs), "simulating") as progress:
            for _ in each(partial(write_case, folder=folder), specs, jobs=jobs or processors()):
                if progress is not None:
                    progress.advance(progress.task_ids[0])
    print(f"{cases} cases from {sites} sites, all simulated")
    print(out)
    return 0


def gallery(
    data: Path,
    out: Path = Path("insula-gallery"),
    real: Path | None = None,
    part: Literal["train", "validation", "test"] = "train",
    each: int = 2,
    seed: int = 0,
    debug: bool = False,
) -> int:
    """Write a page of simulated heads of every kind, to inspect before training on them.

    Args:
        data: Folder of hosts, label maps and lesion outlines.
        out: Folder for the page.
        real: Real scan, or folder of scans, to show first.
        part: Part of the sources to use.
        each: Number of heads for each kind of infarct.
        seed: Random seed; the same seed gives the same heads.
        debug: Show a traceback on errors.
    """
    from insula.config import PrepareConfig
    from insula.errors import NoInput, UsageError
    from insula.io import OutputFolder, read_scan, write_text
    from insula.report import render_gallery, show_head, show_scan
    from insula.synthetic import gallery_heads, load_sources

    if each < 1:
        raise UsageError("--each", each, "is below 1", "use 1 or more")
    paths = [] if real is None else sorted(real.glob("*.nii*")) if real.is_dir() else [real]
    if real is not None and not paths:
        raise NoInput("the folder", real, "holds no NIfTI file", "name a scan, or a folder of scans")
    shown = [show_scan(read_scan(path)) for path in paths]
    with OutputFolder(out) as folder:
        print(f"reading {data} ...", flush=True)
        sources = load_sources(data, part=part, box=PrepareConfig().box)
        with bar(0, "drawing") as progress:
            for exhibit in gallery_heads(sources, seed=seed, each=each):
                shown.append(show_head(exhibit))
                if progress is not None:
                    progress.advance(progress.task_ids[0])
        about = f"Hosts and outlines of the {part} part, seed {seed}. Everything except the real scans is simulated."
        write_text(folder / "gallery.html", render_gallery(shown, about=about))
    print(folder / "gallery.html")
    return 0
