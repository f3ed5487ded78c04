"""`insula inspect`: describe a set of weights, and show what its memory keeps of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from insula.types import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    Of an ensemble, every member is described too; of a mean of weights, how each of them was trained.

    Args:
        weights: Bundled weights by name, or your own file or folder; several (a,b) or a folder of folds are averaged.
        scan: Scan for a model with a memory (mamba_unet), to draw the regions that the model keeps.
        out: Page for that drawing.
        debug: Show a traceback on errors.
    """
    from insula.checkpoint import load_members, load_weights

    loaded = load_weights(weights)
    facts = _facts(loaded)
    _print(facts)
    if (count := len(loaded.networks)) > 1:
        for number, member in enumerate(load_members(weights), start=1):
            print(f"\nmember {number} of {count}")
            _print(_facts(member))
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


def _print(facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, text in facts.items():
        print(f"{name:<{width}}  {text.replace(chr(10), chr(10) + ' ' * (width + 2))}")


def _facts(weights: Weights) -> dict[str, str]:
    """Return what to print of weights, name -> text."""
    card = weights.card
    fitted_on, provenance = card.calibration.fitted_on, card.provenance
    together = f"{len(weights.networks)} networks, the first: " if len(weights.networks) > 1 else ""
    parameters = sum(parameter.numel() for parameter in weights.networks[0][0].parameters())
    parents = list(_parents(provenance))
    return {
        "name": card.name,
        "model": f"{together}{card.model.kind}, {parameters:,} parameters",
        "knobs": ", ".join(f"{name} {value}" for name, value in vars(card.model).items() if name != "kind"),
        "sees": f"{'x'.join(map(str, card.prepare.box))} voxels of {card.prepare.spacing_mm:g} mm",
        "trained on": str(provenance.get("trained_on", "unknown")),
        "training": "see the members" if together else _training(provenance),
        **({"mean of": "\n".join(parents)} if parents else {}),
        "threshold": f"{card.threshold:.3g}, lesions from {card.min_lesion_ml:g} ml",
        "calibrated on": f"{fitted_on['cases']} cases of {fitted_on.get('centres', '?')} centres"
        if fitted_on
        else "nothing",
        "SHA-256": weights.sha256,
    }


def _training(provenance: dict[str, Any]) -> str:
    device = f", {provenance.get('device', 'unknown device')}" if "steps" in provenance else ""
    text = f"{_run(provenance)}{device}"
    while provenance := provenance.get("started_from", {}):
        text += f"; before that {_run(provenance)}"
    return text


def _run(provenance: dict[str, Any]) -> str:
    if "steps" in provenance:
        minutes = f" in {provenance['minutes']:g} minutes" if "minutes" in provenance else ""
        return f"{provenance['steps']:,} steps{minutes}"
    count = len(provenance.get("mean_of", []))
    return f"the mean of {count} weights" if count else "unknown"


def _parents(provenance: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Yield a line for each of the weights whose mean was taken, here or before; the parents of a parent follow it."""
    while provenance:
        for parent in provenance.get("mean_of", []):
            yield f"{indent}{parent.get('name', '?')} {parent.get('sha256', '?')[:12]}: {_training(parent)}"
            yield from _parents(parent, f"{indent}  ")
        provenance = provenance.get("started_from", {})
