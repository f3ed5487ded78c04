"""`insula inspect`: what a set of weights is, and what its memory holds of a scan."""

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
    """Show what weights are: model, training, calibration; with a scan, also where the model's memory lies in it.

    Args:
        weights: Bundled weights by name, or a folder or file of your own; a folder of folds, or a,b, are averaged.
        scan: Ask a model with a memory (mamba_unet) which places of this scan it keeps, and draw them.
        out: The page with that picture.
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
        raise UsageError("--scan", scan, f"is {len(files)} scans", "name one")
    opened, _ = open_scan(files[0], name=name_cases(files)[0])
    found = remember(opened, loaded)
    write_text(out, render_memory(found, case=opened.name, model=facts))
    print(out)
    return 0


def _facts(weights: Weights) -> dict[str, str]:
    card = weights.card
    made, told = card.calibration.fitted_on, card.provenance
    together = f"{len(weights.networks)} networks, the first: " if len(weights.networks) > 1 else ""
    steps = f"{_run(told)}, {told.get('device', 'on what is unknown')}" if "steps" in told else "unknown"
    before = told
    while "steps" in (before := before.get("started_from", {})):
        steps += f"; before them {_run(before)}"
    return {
        "name": card.name,
        "model": f"{together}{card.model.kind}, {sum(p.numel() for p in weights.networks[0][0].parameters()):,} parameters",
        "knobs": ", ".join(f"{name} {value}" for name, value in vars(card.model).items() if name != "kind"),
        "sees": f"{'x'.join(map(str, card.prepare.box))} voxels of {card.prepare.spacing_mm:g} mm",
        "trained on": str(told.get("trained_on", "unknown")),
        "training": steps,
        "threshold": f"{card.threshold:.3g}, lesions from {card.min_lesion_ml:g} ml",
        "calibrated on": f"{made['cases']} cases of {made.get('centres', '?')} centres" if made else "nothing",
        "SHA-256": weights.sha256,
    }


def _run(told: dict[str, Any]) -> str:
    return f"{told['steps']:,} steps" + (f" in {told['minutes']:g} minutes" if "minutes" in told else "")
