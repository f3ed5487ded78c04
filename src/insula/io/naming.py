"""Checks the image type indicated by a file's name and its BIDS sidecar."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from insula.errors import BadData
from insula.io.entities import is_uni
from insula.io.read import bare_name
from insula.types import Flag

__all__ = ["contrast_by_name", "flags_by_name", "flags_by_sequence", "other_than_t1w", "refuse_other_than_t1w"]

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
_REMEDY = "give the T1w scan, or `assume_t1w` if this is a T1w scan"


def other_than_t1w(path: Path) -> str | None:
    """Return the word in a file's name that indicates an image other than a T1w scan; None if there is none.

    A name that also indicates T1w, such as `t1_flair`, is accepted, because such sequences exist. Phase images and the
    inversions of an MP2RAGE are recognised by their entity, whatever the suffix is.

    Args:
        path: path of the file.
    """
    stem = path.name.partition(".")[0]
    if match := _ALWAYS.search(stem):
        return match.group(1)
    words = [word for word in re.split(r"[_\-. ]+", stem) if word]
    if _T1W & {word.lower() for word in words}:
        return None
    return next((word for word in words if word.lower() in _OTHER), None)


def refuse_other_than_t1w(path: Path) -> None:
    """Refuse a file whose name or sidecar indicates that it is not a T1w MR scan.

    Args:
        path: path of the file; its sidecar is the `.json` of the same name.

    Raises:
        BadData: the name or the sidecar indicates another image.
    """
    if word := other_than_t1w(path):
        raise BadData("the file's name", f"with {word}", "indicates that this is not a T1w scan", _REMEDY)
    sidecar = _sidecar(path)
    modality = sidecar.get("Modality")
    if isinstance(modality, str) and modality.strip() and modality.strip().upper() != "MR":
        raise BadData("the sidecar's Modality", "", "is not MR", _REMEDY)
    for key in _SIDECAR:
        text = sidecar.get(key)
        if isinstance(text, str) and (word := other_than_t1w(Path(text.replace("/", "_")))):
            raise BadData(f"the sidecar's {key}", f"with {word}", "indicates that this is not a T1w scan", _REMEDY)


def contrast_by_name(path: Path) -> tuple[Flag, ...]:
    """Return a warning if the name states that a contrast agent was given (BIDS: `ce-`); otherwise nothing.

    Args:
        path: path of the file.
    """
    if not _AGENT.search(path.name):
        return ()
    text = "The file's name states that a contrast agent was given: enhancing tissue can hide a lesion or resemble one."
    return (Flag("contrast-agent", text),)


def flags_by_sequence(sequence: Collection[str]) -> tuple[Flag, ...]:
    """Return a warning if a scan is a spin echo, without inversion or gradient echoes; otherwise nothing.

    Args:
        sequence: the values of ScanningSequence, such as GR, IR, SE; empty if unknown.
    """
    if "SE" not in sequence or {"IR", "GR"} & set(sequence):
        return ()
    text = (
        "The scan is a spin echo (ScanningSequence), in which lesions stand out less: on simulated ones the default "
        "weights lost a third of their Dice or more, other weights most of it."
    )
    return (Flag("spin-echo", text),)


def flags_by_name(path: Path) -> tuple[Flag, ...]:
    """Return all flags that follow from a scan's name and sidecar.

    They tell of a contrast agent, of the UNI image of an MP2RAGE, and of a spin echo.

    Args:
        path: path of the file; its sidecar is the `.json` of the same name.
    """
    told = str(_sidecar(path).get("ScanningSequence", "")).upper()
    named = (*contrast_by_name(path), *flags_by_sequence(re.findall("[A-Z]+", told)))
    if not is_uni(path):
        return named
    text = (
        "The scan is the UNI image of an MP2RAGE (UNIT1), because there is no T1w scan: noise around the head can look "
        "like tissue."
    )
    return (*named, Flag("mp2rage-uni", text))


def _sidecar(path: Path) -> dict[str, object]:
    beside = path.with_name(f"{bare_name(path)}.json")
    try:
        if beside == path or beside.stat().st_size > 1 << 20:
            return {}
        content = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
