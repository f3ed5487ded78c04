"""Weights by name: one network, or several that answer together."""

from __future__ import annotations

import hashlib
import json
import statistics
from dataclasses import replace
from pathlib import Path

from insula.checkpoint.seen import who_was_seen
from insula.checkpoint.sound import check_answers
from insula.checkpoint.weights import Card, Weights, bundled_card, find_one, load_one, read_card, write_card
from insula.config import Calibration, from_dict, knobs, to_dict
from insula.errors import BadData, NoInput, UsageError
from insula.io import write_json

__all__ = ["find_weights", "load_members", "load_weights", "store_card"]

_FORMAT = "insula-ensemble/1"
_FILE = "ensemble.json"


@knobs
class _Together:
    """What is known of an ensemble as such."""

    members: dict[str, str]
    """SHA-256 of each by its folder: a calibration is of these weights and of no others."""
    threshold: float
    min_lesion_ml: float
    calibration: Calibration


def find_weights(name: str) -> Path:
    """The card of bundled weights (`baseline`, `ensemble`), of a `.json` or `.safetensors` file, of a run's folder, or of a folder of folds.

    The card of a folder of folds exists once it was calibrated.

    Raises:
        NoInput: nothing of that name; the message lists what there is.
        UsageError: several names; they share no card.
    """
    if "," in name and not Path(name).exists():
        raise UsageError(
            "the weights", name, "are several, and have no card together", "put them into a folder as fold0, fold1, ..."
        )
    return Path(name) / _FILE if _folds(name) else find_one(name)


def load_weights(name: str) -> Weights:
    """Load and verify.

    Args:
        name: as `find_weights` takes it; a folder of folds, or names joined by commas, are an ensemble. What was
            calibrated together counts only where it is named alone.

    Raises:
        NoInput: not found.
        BadData: the hash, the format or the keys do not fit, the first differing keys are named; or members of an ensemble
            want scans prepared differently, are not those that it was calibrated with, or folds are not trained to their end.
        UsageError: a name twice.
    """
    parts, names = _parts(name), _named(name)
    if names == [name]:
        return load_one(find_one(name))
    members = _load_each(parts, names)
    ensemble = _together("+".join(Path(part).resolve().name for part in parts), names, members)
    path = find_weights(name) if len(parts) == 1 else None
    return _as_calibrated(ensemble, path, names, members) if path is not None and path.exists() else ensemble


def load_members(name: str) -> list[Weights]:
    """Each of the networks that `load_weights` would put together, with its own card; one alone if there is one.

    Raises:
        NoInput, BadData, UsageError: as `load_weights`.
    """
    return _load_each(_parts(name), _named(name))


def store_card(name: str, card: Card) -> Path:
    """Rewrite the card of weights that exist; the tensors stay as they are.

    Args:
        name: as `find_weights` takes it.
        card: the new one; of an ensemble, thresholds and calibration are kept.

    Returns:
        The card's file.

    Raises:
        NoInput: no such weights.
        CannotCreate, NoPermission, IOFault: as the disk says.
    """
    path, names = find_weights(name), _members(name)
    if not names:
        write_card(path, card)
        return path
    members = {Path(member).name: load_one(find_one(member)).sha256 for member in names}
    told = _Together(
        members=members, threshold=card.threshold, min_lesion_ml=card.min_lesion_ml, calibration=card.calibration
    )
    write_json(path, {"format": _FORMAT, **to_dict(told)})
    return path


def _load_each(parts: list[str], names: list[str]) -> list[Weights]:
    members = [load_one(find_one(one)) for one in names]
    if len(parts) == 1 and names != parts:  # folds
        _refuse_unfinished(names, members)
    return members


def _parts(name: str) -> list[str]:
    """What is named: one, or several joined by commas."""
    parts = [name] if Path(name).exists() else [part.strip() for part in name.split(",")]
    if "" in parts and len(parts) > 1:
        raise NoInput("the weights", name, "name nothing beside a comma", "write a,b")
    return parts


def _named(name: str) -> list[str]:
    """The single networks of what is named."""
    names = [member for part in _parts(name) for member in (_members(part) or [part])]
    if twice := [one for n, one in enumerate(names) if one in names[:n]]:
        raise UsageError("the weights", twice[0], "are named twice", "name each once")
    return names


def _members(name: str) -> list[str]:
    """What an ensemble is of: a folder's folds, or the bundled weights that a bundled ensemble's card names; nothing for one network."""
    if folds := _folds(name):
        return [str(folder) for folder in folds]
    path = bundled_card(name)
    if path is None or json.loads(path.read_text(encoding="utf-8"))["format"] != _FORMAT:
        return []
    return list(from_dict(_Together, read_card(path, _FORMAT), what="the ensemble's card").members)


def _folds(name: str) -> list[Path]:
    """The folders fold0, fold1, ... in a folder that has no weights of its own."""
    if bundled_card(name) is not None:
        return []
    folder = Path(name)
    if not folder.is_dir() or any(path.name != _FILE for path in folder.glob("*.json")):
        return []
    found = [path for path in folder.glob("fold*") if path.name[4:].isdecimal() and any(path.glob("*.safetensors"))]
    return sorted(found, key=lambda path: int(path.name[4:]))


def _refuse_unfinished(names: list[str], members: list[Weights]) -> None:
    """A run leaves weights from its first save on; a fold that still trains would speak as loudly as the others."""
    for part, member in zip(names, members, strict=True):
        told = member.card.provenance
        steps, wanted = told.get("steps"), told.get("recipe", {}).get("train", {}).get("steps")
        if steps is not None and wanted is not None and steps < wanted:
            rule = f"stands at step {steps} of {wanted}"
            raise BadData(
                "the fold", Path(part).name, rule, "wait for it, or name those that are done: a/fold0,a/fold1"
            )


def _together(name: str, names: list[str], members: list[Weights]) -> Weights:
    """Uncalibrated as an ensemble: the members' own calibrations, the mean of their thresholds."""
    first = members[0].card
    for part, member in zip(names, members, strict=True):
        if member.card.prepare != first.prepare:
            rule = f"want scans prepared in another way than {names[0]}"
            raise BadData("the weights", part, rule, "put together what was trained on one store")
    card = replace(
        first,
        name=name,
        threshold=statistics.mean(member.card.threshold for member in members),
        min_lesion_ml=statistics.mean(member.card.min_lesion_ml for member in members),
        calibration=Calibration(),
        provenance={
            "trained_on": first.provenance.get("trained_on", "unknown"),
            "members": [
                {"name": member.card.name, "sha256": member.sha256, **who_was_seen(member.card)} for member in members
            ],
        },
    )
    networks = tuple((member.model, member.card.calibration.scaling) for member in members)
    sha = hashlib.sha256("".join(member.sha256 for member in members).encode()).hexdigest()
    return Weights(networks=networks, card=card, sha256=sha)


def _as_calibrated(ensemble: Weights, path: Path, names: list[str], members: list[Weights]) -> Weights:
    told = from_dict(_Together, read_card(path, _FORMAT), what="the ensemble's card")
    if told.members != {Path(part).name: member.sha256 for part, member in zip(names, members, strict=True)}:
        rule = "was calibrated with other weights than lie there now"
        raise BadData("the ensemble", ensemble.card.name, rule, f"calibrate it again, or delete {path.name}")
    check_answers(told.threshold, told.min_lesion_ml, told.calibration, path.name)
    card = replace(
        ensemble.card, threshold=told.threshold, min_lesion_ml=told.min_lesion_ml, calibration=told.calibration
    )
    return replace(ensemble, card=card)
