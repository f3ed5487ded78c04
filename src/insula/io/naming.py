"""What a file's name and its BIDS sidecar say that an image is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from insula.errors import BadData
from insula.io.entities import is_uni
from insula.io.read import bare_name
from insula.types import Flag

__all__ = ["contrast_by_name", "flags_by_name", "other_than_t1w", "refuse_other_than_t1w"]

_ALWAYS = re.compile(r"(?:^|[_\-. ])(part-(?:phase|real|imag)|inv-?[12])(?=$|[_\-. ])", re.IGNORECASE)
_T1W = frozenset("t1 t1w t1c t1gd t1ce mprage mp2rage memprage rage uni unit1 uniden spgr fspgr bravo vibe".split())
_OTHER = frozenset(
    """
    flair t2 t2w t2star t2starw t2flair pdw dwi dti adc bold fmri swi asl mra tof angio cta ct ncct t1map t2map
    r1map r2map r2starmap t2starmap mtrmap m0scan phase phasediff magnitude1 magnitude2 fieldmap sbref perf pet
    megre
    """.split()
)
_AGENT = re.compile(r"(?:^|[_\-. ])ce-([a-z0-9]+)", re.IGNORECASE)
_SIDECAR = ("SeriesDescription", "ProtocolName", "SequenceName")
_REMEDY = "give the T1w scan, or --assume-t1w if it is one"


def other_than_t1w(path: Path) -> str | None:
    """The word by which a file's name says that it holds something else than a T1w scan; None where it does not.

    A name that says both, as `t1_flair`, is no reason: there are such sequences. Phase images and the inversions of an
    MP2RAGE are told by their entity, whatever the suffix says.

    Args:
        path: of the file.
    """
    stem = path.name.partition(".")[0]
    if found := _ALWAYS.search(stem):
        return found.group(1)
    words = [word for word in re.split(r"[_\-. ]+", stem) if word]
    if _T1W & {word.lower() for word in words}:
        return None
    return next((word for word in words if word.lower() in _OTHER), None)


def refuse_other_than_t1w(path: Path) -> None:
    """Refuse a file whose name or sidecar says that it is no T1w scan of MR.

    Args:
        path: of the file; its sidecar is the `.json` of the same name.

    Raises:
        BadData: it says so.
    """
    if word := other_than_t1w(path):
        raise BadData("the file's name", f"with {word}", "says that this is no T1w scan", _REMEDY)
    told = _sidecar(path)
    modality = told.get("Modality")
    if isinstance(modality, str) and modality.strip() and modality.strip().upper() != "MR":
        raise BadData("the sidecar's Modality", "", "is not MR", _REMEDY)
    for key in _SIDECAR:
        if isinstance(told.get(key), str) and (word := other_than_t1w(Path(told[key].replace("/", "_")))):
            raise BadData(f"the sidecar's {key}", f"with {word}", "says that this is no T1w scan", _REMEDY)


def contrast_by_name(path: Path) -> tuple[Flag, ...]:
    """A warning where the name says that a contrast agent was given (BIDS: `ce-`).

    Args:
        path: of the file.
    """
    if not _AGENT.search(path.name):
        return ()
    text = (
        "The file's name says that a contrast agent was given: what it brightens can hide a lesion or look like none."
    )
    return (Flag("contrast-agent", text),)


def flags_by_name(path: Path) -> tuple[Flag, ...]:
    """All that a careful reader has to know of a scan by its name: a contrast agent, the UNI image of an MP2RAGE.

    Args:
        path: of the file.
    """
    if not is_uni(path):
        return contrast_by_name(path)
    text = "The scan is the UNI image of an MP2RAGE (UNIT1), there being no T1w: noise around the head can look like tissue."
    return (*contrast_by_name(path), Flag("mp2rage-uni", text))


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{bare_name(path)}.json")
    try:
        if beside == path or beside.stat().st_size > 1 << 20:
            return {}
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
