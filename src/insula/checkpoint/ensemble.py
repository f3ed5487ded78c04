"""Weights by name: a single network, or an ensemble whose probabilities are averaged."""

from __future__ import annotations

import hashlib
import json
import statistics
from dataclasses import replace
from pathlib import Path

from insula.checkpoint.seen import who_was_seen
from insula.checkpoint.sound import check_answers
from insula.checkpoint.weights import Card, Weights, bundled_card, find_card, load_network, read_card, write_card
from insula.config import Calibration, from_dict, knobs, to_dict
from insula.errors import BadData, NoInput, UsageError
from insula.io import write_json

__all__ = ["find_weights", "load_members", "load_weights", "store_card"]

_FORMAT = "insula-ensemble/1"
_FILE = "ensemble.json"


@knobs
class _EnsembleCard:
    """The card of an ensemble as a whole."""

    members: dict[str, str]
    """SHA-256 of each member by its folder's name; the calibration holds for these weights only."""
    threshold: float
    min_lesion_ml: float
    calibration: Calibration
    scalings: dict[str, tuple[float, float]] | None = None
    """Temperature and bias of each member, which the ensemble's calibration depends on; None in older cards."""


def find_weights(name: str) -> Path:
    """Find the card of weights by their name.

    The name is that of bundled weights (`baseline`, `ensemble`), of a `.json` or `.safetensors` file, of a run's
    folder, or of a folder of folds. The card of a folder of folds exists only after calibration.

    Raises:
        NoInput: no weights of that name exist; the message lists the bundled ones.
        UsageError: several names, which have no common card.
    """
    if "," in name and not Path(name).exists():
        raise UsageError(
            "the weights", name, "are several and have no common card", "put them into a folder as fold0, fold1, ..."
        )
    return Path(name) / _FILE if _folds(name) else find_card(name)


def load_weights(name: str, *, to_calibrate: bool = False) -> Weights:
    """Load weights by name and verify them.

    Args:
        name: as for `find_weights`; a folder of folds, or names joined by commas, make an ensemble. An ensemble's own
            calibration is applied only if its name stands alone.
        to_calibrate: leave out an ensemble's own calibration, which need not fit its members any more.

    Raises:
        NoInput: no weights of that name exist.
        BadData: the hash, the format or the keys do not match (the message names the first differing keys); or the
            members of an ensemble need scans prepared differently, are not those it was calibrated with, or include
            folds whose training is not finished.
        UsageError: the same name is given twice.
    """
    parts, names = _parts(name), _member_names(name)
    if names == [name]:
        return load_network(find_card(name))
    members = _load_each(parts, names)
    ensemble = _combined("+".join(Path(part).resolve().name for part in parts), names, members)
    path = find_weights(name) if len(parts) == 1 and not to_calibrate else None
    return _with_calibration(ensemble, path, names, members) if path is not None and path.exists() else ensemble


def load_members(name: str) -> list[Weights]:
    """Load each network that `load_weights` would combine, with its own card; a list of length 1 for a single network.

    Raises:
        NoInput, BadData, UsageError: as for `load_weights`.
    """
    return _load_each(_parts(name), _member_names(name))


def store_card(name: str, card: Card) -> Path:
    """Rewrite the card of existing weights; the tensors stay as they are.

    Args:
        name: as for `find_weights`.
        card: the new card; for an ensemble only its thresholds and calibration are stored.

    Returns:
        The path of the card.

    Raises:
        NoInput: no weights of that name exist.
        CannotCreate, NoPermission, IOFault: the card cannot be written.
    """
    path, names = find_weights(name), _members(name)
    if not names:
        write_card(path, card)
        return path
    members = [load_network(find_card(member)) for member in names]
    ensemble_card = _EnsembleCard(
        members=_hashes(names, members),
        threshold=card.threshold,
        min_lesion_ml=card.min_lesion_ml,
        calibration=card.calibration,
        scalings=_scalings(names, members),
    )
    write_json(path, {"format": _FORMAT, **to_dict(ensemble_card)})
    return path


def _load_each(parts: list[str], names: list[str]) -> list[Weights]:
    members = [load_network(find_card(name)) for name in names]
    if len(parts) == 1 and _folds(parts[0]):
        _refuse_unfinished(names, members)
    return members


def _parts(name: str) -> list[str]:
    """Split a name at its commas; the name of an existing path stays whole."""
    parts = [name] if Path(name).exists() else [part.strip() for part in name.split(",")]
    if "" in parts and len(parts) > 1:
        raise NoInput("the weights", name, "have an empty name beside a comma", "write a,b")
    return parts


def _member_names(name: str) -> list[str]:
    """Returns the names of all single networks that a name stands for."""
    names = [member for part in _parts(name) for member in (_members(part) or [part])]
    if repeated := [member for n, member in enumerate(names) if member in names[:n]]:
        raise UsageError("the weights", repeated[0], "are named twice", "name each once")
    return names


def _members(name: str) -> list[str]:
    """Returns the names of an ensemble's members: folds, or those in a bundled card; empty for a single network."""
    if folds := _folds(name):
        return [str(folder) for folder in folds]
    path = bundled_card(name)
    if path is None or json.loads(path.read_text(encoding="utf-8"))["format"] != _FORMAT:
        return []
    return list(from_dict(_EnsembleCard, read_card(path, _FORMAT), what="the ensemble's card").members)


def _folds(name: str) -> list[Path]:
    """Returns the folders fold0, fold1, ... in a folder without weights of its own; empty if there are none."""
    if bundled_card(name) is not None:
        return []
    folder = Path(name)
    if not folder.is_dir() or any(path.name != _FILE for path in folder.glob("*.json")):
        return []
    folders = [path for path in folder.glob("fold*") if path.name[4:].isdecimal() and any(path.glob("*.safetensors"))]
    return sorted(folders, key=lambda path: int(path.name[4:]))


def _refuse_unfinished(names: list[str], members: list[Weights]) -> None:
    """Refuse folds whose training is not finished.

    A run saves weights before its end, and an unfinished fold would count as much as the others.
    """
    for part, member in zip(names, members, strict=True):
        provenance = member.card.provenance
        steps, wanted = provenance.get("steps"), provenance.get("recipe", {}).get("train", {}).get("steps")
        if steps is not None and wanted is not None and steps < wanted:
            rule = f"stands at step {steps} of {wanted}"
            raise BadData("the fold", Path(part).name, rule, "wait for it, or name the finished folds: a/fold0,a/fold1")


def _combined(name: str, names: list[str], members: list[Weights]) -> Weights:
    """Combine members into an uncalibrated ensemble: each keeps its own calibration, thresholds are averaged."""
    first = members[0].card
    for part, member in zip(names, members, strict=True):
        if member.card.prepare != first.prepare:
            rule = f"need scans prepared in another way than {names[0]}"
            raise BadData("the weights", part, rule, "combine weights that were trained on the same store")
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


def _with_calibration(ensemble: Weights, path: Path, names: list[str], members: list[Weights]) -> Weights:
    """Apply the stored calibration of an ensemble, after checking that it was fitted on these members."""
    ensemble_card = from_dict(_EnsembleCard, read_card(path, _FORMAT), what="the ensemble's card")
    remedy = f"calibrate it again, or delete {path.name}"
    if ensemble_card.members != _hashes(names, members):
        rule = "was calibrated with other weights than those in the folder now"
        raise BadData("the ensemble", ensemble.card.name, rule, remedy)
    if ensemble_card.scalings not in (None, _scalings(names, members)):
        raise BadData("the ensemble", ensemble.card.name, "was calibrated before one of its members was", remedy)
    check_answers(ensemble_card.threshold, ensemble_card.min_lesion_ml, ensemble_card.calibration, path.name)
    card = replace(
        ensemble.card,
        threshold=ensemble_card.threshold,
        min_lesion_ml=ensemble_card.min_lesion_ml,
        calibration=ensemble_card.calibration,
    )
    return replace(ensemble, card=card)


def _hashes(names: list[str], members: list[Weights]) -> dict[str, str]:
    return {Path(name).name: member.sha256 for name, member in zip(names, members, strict=True)}


def _scalings(names: list[str], members: list[Weights]) -> dict[str, tuple[float, float]]:
    scalings = [member.card.calibration.scaling for member in members]
    return {Path(name).name: scaling for name, scaling in zip(names, scalings, strict=True)}
