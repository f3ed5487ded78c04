"""`insula inspect`: describe a set of weights, and show what its memory keeps of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from insula.types import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from insula.checkpoint import Weights

__all__ = ["inspect"]


def inspect(
    weights: Positional[str] = DEFAULT_WEIGHTS,
    /,
    scan: Path | None = None,
    out: Path = Path("insula-memory.html"),
    debug: bool = False,
) -> int:
    """Describe weights: their model, training and calibration; with a scan, also what the model remembers of it.

    Args:
        weights: Bundled weights by name, or your own file or folder; several (a,b) or a folder of folds are averaged.
        scan: Scan for a model with a memory (mamba_unet), to draw the regions that the model keeps.
        out: Page for that drawing.
        debug: Show a traceback on errors.
    """
    from insula.checkpoint import load_weights

    loaded = load_weights(weights)
    facts = _facts(loaded)
    width = max(map(len, facts))
    for name, text in facts.items():
        print(f"{name:<{width}}  {text}")
    if scan is None:
        return 0

    from insula.errors import UsageError
    from insula.io import write_text
    from insula.predict import open_scan, remember
    from insula.report import render_memory
    from insula.study.inputs import find_scans, name_cases

    files = find_scans([str(scan)]).files
    if len(files) != 1:
        raise UsageError("--scan", scan, f"is {len(files)} scans", "name one scan")
    opened, _ = open_scan(files[0], name=name_cases(files)[0])
    memory = remember(opened, loaded)
    write_text(out, render_memory(memory, case=opened.name, model=facts))
    print(out)
    return 0


def _facts(weights: Weights) -> dict[str, str]:
    """Return what to print of weights, name -> text."""
    card = weights.card
    fitted_on, provenance = card.calibration.fitted_on, card.provenance
    together = f"{len(weights.networks)} networks, the first: " if len(weights.networks) > 1 else ""
    parameters = sum(parameter.numel() for parameter in weights.networks[0][0].parameters())
    steps = f"{_run(provenance)}, {provenance.get('device', 'unknown device')}" if "steps" in provenance else "unknown"
    before = provenance
    while "steps" in (before := before.get("started_from", {})):
        steps += f"; before them {_run(before)}"
    return {
        "name": card.name,
        "model": f"{together}{card.model.kind}, {parameters:,} parameters",
        "knobs": ", ".join(f"{name} {value}" for name, value in vars(card.model).items() if name != "kind"),
        "sees": f"{'x'.join(map(str, card.prepare.box))} voxels of {card.prepare.spacing_mm:g} mm",
        "trained on": str(provenance.get("trained_on", "unknown")),
        "training": steps,
        "threshold": f"{card.threshold:.3g}, lesions from {card.min_lesion_ml:g} ml",
        "calibrated on": f"{fitted_on['cases']} cases of {fitted_on.get('centres', '?')} centres"
        if fitted_on
        else "nothing",
        "SHA-256": weights.sha256,
    }


def _run(provenance: dict[str, Any]) -> str:
    minutes = f" in {provenance['minutes']:g} minutes" if "minutes" in provenance else ""
    return f"{provenance['steps']:,} steps{minutes}"
