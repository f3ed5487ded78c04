"""Find the scans that files, folders and patterns stand for, and name their results."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from insula.errors import NoInput
from insula.io import bare_name, folded, plain_name
from insula.io.dicom import has_dicom, is_archive, is_dicom
from insula.io.entities import entities_of, is_uni, session_of, uni_alone
from insula.io.naming import other_than_t1w
from insula.io.participants import without_scan
from insula.io.walk import walk

__all__ = ["ScanFiles", "case_of_image", "find_scans", "images_in", "name_cases"]

_IMAGE = r"\.(nii|hdr)(\.(gz|bz2|xz))?$"
_SCAN = re.compile(_IMAGE, re.IGNORECASE)
_NOT_A_SCAN = re.compile(rf"(_mask|_prob|_probseg|_dseg|_label-.*|_lesion.*|_roi){_IMAGE}", re.IGNORECASE)
_BRAIN = re.compile(r"_brain\.nii\.gz$")
_NNUNET = re.compile(r"^(images|labels)T[rs]$")
_FIRST_CHANNEL = re.compile(r"_0000\.(nii|nii\.gz)$")
_T1W = re.compile(rf"(^|_)T1w{_IMAGE}", re.IGNORECASE)


class ScanFiles(NamedTuple):
    """The scans to segment, and the images beside them that are not segmented."""

    files: list[Path]
    passed_over: dict[str, list[Path]]
    """Reason -> images in the folders; masks and insula's own results are not listed."""
    twins: dict[Path, Path]
    """File -> another file of the same name in another format; it is unclear which is meant."""
    notes: tuple[str, ...]
    """Notes on participants who have no scan to segment."""


class _FolderContents(NamedTuple):
    files: list[Path]
    passed_over: dict[str, list[Path]]
    folders: list[Path]
    """Subfolders at every depth, relative to the folder."""


def find_scans(arguments: Sequence[str]) -> ScanFiles:
    """Find the scans that paths and patterns stand for.

    A file stands for itself. A folder stands for its `*_T1w` files or, if it has none, for every image whose name does
    not mark it as something else. A folder of nnU-Net raw data stands for the first channel of its images. A folder
    without such images but with DICOM files stands for the one scan in them.

    Linked folders are entered, each once. Hidden files in folders are skipped. A file named twice counts once. Files
    that do not exist stay in the list, so that they are reported like any other case.

    Args:
        arguments: files, folders and glob patterns.

    Raises:
        NoInput: a folder holds no scans, or a pattern matches no file.
    """
    selected: dict[Path, None] = {}
    skipped: dict[str, list[Path]] = {}
    named: set[Path] = set()
    notes: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            inside, others, folders = _in_folder(path)
            notes += without_scan(folders, {session_of(entities_of(scan.name)) for scan in inside})
            for reason, images in others.items():
                skipped.setdefault(reason, []).extend(images)
            if not inside and not has_dicom(path):
                raise _nothing_in(argument, sum(map(len, others.values())))
            selected |= dict.fromkeys(inside or [path])
        elif os.path.lexists(path) or not glob.has_magic(argument):
            selected[path] = None
            named.add(path)
        else:
            matches = sorted(Path(match) for match in glob.glob(argument, recursive=True) if os.path.isfile(match))
            if not matches:
                raise NoInput("the pattern", argument, "matches no file", "check it, or quote it for the shell")
            selected |= dict.fromkeys(matches)
    passed_over = {
        reason: left
        for reason, images in skipped.items()
        if (left := [path for path in images if path not in selected])
    }
    twins, second = _twins([path for path in selected if path not in named])
    files = [path for path in selected if path not in second]
    return ScanFiles(files, passed_over, twins, tuple(notes))


def _twins(paths: Sequence[Path]) -> tuple[dict[Path, Path], set[Path]]:
    """Find files that share a name and a folder (.nii and .nii.gz): first file -> another, and all but the first."""
    first: dict[Path, Path] = {}
    twins: dict[Path, Path] = {}
    second: set[Path] = set()
    for path in paths:
        known = first.setdefault(path.with_name(bare_name(path)), path)
        if known != path:
            twins[known] = path
            second.add(path)
    return twins, second


def _nothing_in(folder: str, others: int) -> NoInput:
    what = f"no T1w scan, but {others} other images" if others else "no .nii, .nii.gz or .hdr file"
    archives = sum(is_archive(Path(base) / name) for base, _, names in walk(Path(folder)) for name in names)
    if archives:
        rule = f"holds {what}, and no DICOM outside {archives} archive{'s' if archives > 1 else ''} (zip, tar)"
        return NoInput("the folder", folder, rule, "name each archive itself, or unpack it")
    return NoInput("the folder", folder, f"holds {what}, and no DICOM", "name the folder with the scans")


def name_cases(paths: Sequence[Path]) -> list[str]:
    """Return a different name for each file: its own, preceded by as many parent folders as needed.

    DICOM inputs are only numbered, because the names of their files and folders may name a person. Once read, a DICOM
    scan is named by its series.
    """
    names = [f"dicom-{n:03d}" if is_dicom(path) else plain_name(bare_name(path)) for n, path in enumerate(paths, 1)]
    for depth in range(1, 8):
        count = Counter(map(folded, names))
        if max(count.values(), default=1) == 1:
            break
        names = [
            f"{plain_name(path.absolute().parts[-1 - depth])}_{name}"
            if count[folded(name)] > 1 and len(path.absolute().parts) > depth + 1
            else name
            for path, name in zip(paths, names, strict=True)
        ]
    taken, used = set(map(folded, names)), set[str]()
    for place, name in enumerate(names):
        number = 1
        while folded(names[place]) in used or (number > 1 and folded(names[place]) in taken):
            number += 1
            names[place] = f"{name}-{number}"
        used.add(folded(names[place]))
    return names


def _in_folder(folder: Path) -> _FolderContents:
    images, folders = list[Path](), list[Path]()
    for base, subfolders, files in walk(folder):
        folders += [Path(base, name).relative_to(folder) for name in subfolders]
        images += [Path(base, name) for name in files if _SCAN.search(name)]
    raw = [path for path in images if _NNUNET.match(path.parent.name)]
    if raw:  # nnU-Net's layout: its label maps and further channels are not T1w scans
        first = [path for path in raw if path.parent.name.startswith("images") and _FIRST_CHANNEL.search(path.name)]
        return _FolderContents(first, {}, [])
    images = [path for path in images if not (_NOT_A_SCAN.search(path.name) or _is_result(path))]
    t1w, unnamed, other = list[Path](), list[Path](), list[Path]()
    for path in images:
        (other if other_than_t1w(path) else t1w if _T1W.search(path.name) else unnamed).append(path)
    passed_over = {"not T1w by their names": other}
    if t1w and (unis := uni_alone([*t1w, *(path for path in unnamed if is_uni(path))])):
        t1w = [path for path in images if path in t1w or path in unis]
        unnamed = [path for path in unnamed if path not in unis]
    if t1w:
        passed_over["without _T1w at the end of their names, where others have it"] = unnamed
    passed_over = {reason: paths for reason, paths in passed_over.items() if paths}
    return _FolderContents(t1w or unnamed, passed_over, folders)


def _is_result(path: Path) -> bool:
    """Tell whether a file is a brain mask by insula; without a `_prob` beside it, `_brain` is a skull-stripped scan."""
    return bool(_BRAIN.search(path.name)) and path.with_name(_BRAIN.sub("_prob.nii.gz", path.name)).is_file()


def case_of_image(path: Path, cases: Iterable[str]) -> str | None:
    """Return the case that an image's name is or begins with; the longest, if there are several; None without any."""
    name = folded(bare_name(path))
    matches = [
        case for case in cases if name == folded(case) or name.startswith((folded(case) + "_", folded(case) + "-"))
    ]
    return max(matches, key=len, default=None)


def images_in(masks: Path) -> list[Path]:
    """Return the NIfTI files in a folder and its subfolders, sorted, without hidden ones; or the one file.

    Raises:
        NoInput: the path does not exist.
    """
    if masks.is_file():
        return [masks]
    if not masks.is_dir():
        raise NoInput("the folder of masks", masks, "does not exist", "check the path")
    return sorted(path for path in masks.rglob("*.nii*") if path.is_file() and not path.name.startswith("."))
