"""The masks of several raters: who they are, and which masks are of the same case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from insula.errors import NoInput, UsageError
from insula.io import bare_name, folded, plain_name, printable
from insula.io.kept_masks import kept_mask
from insula.io.walk import walk
from insula.predict import read_record

__all__ = ["RaterMasks", "case_of_mask", "find_rater_masks"]

_IMAGE = re.compile(r"\.nii(\.(gz|bz2|xz))?$", re.IGNORECASE)
_KIND = re.compile(r"[_-](mask|label|lesion|corrected)$", re.IGNORECASE)
_NOT_A_MASK = re.compile(r"(_prob|_probseg|_seg-lesions_desc-insula_dseg)$")
_BRAIN = re.compile(r"_brain$")


@dataclass(frozen=True, kw_only=True)
class RaterMasks:
    """The masks of several raters."""

    raters: tuple[str, ...]
    """Names of the raters, in the order in which they were given."""
    cases: dict[str, dict[str, tuple[Path, ...]]]
    """Case -> rater -> the files of the rater; more than one if it is unclear which is meant."""
    folders: tuple[Path, ...] = ()
    """The folder of each rater; none if files were given."""

    @property
    def single(self) -> tuple[str, ...]:
        """The cases that only one rater marked, sorted."""
        return tuple(sorted(case for case, files in self.cases.items() if len(files) == 1))


def find_rater_masks(paths: Sequence[Path]) -> RaterMasks:
    """Find the masks of each rater.

    Folders, one of each rater: masks of equal names are of the same case, whatever the subfolder; `_mask`, `_label`,
    `_lesion` and `_corrected` at the end of a name do not count. Probability maps, brain masks and network's masks that
    insula wrote are passed over. Of a result that was corrected, the mask counts, and not the file that was taken in.

    Files, one of each rater: all are of one case, whatever their names.

    Args:
        paths: two folders or more, or two files or more.

    Raises:
        NoInput: a path does not exist, there are fewer than two, or no two folders have a case in common.
        UsageError: folders are mixed with files, or a path is given twice.
    """
    for path in paths:
        if not path.exists():
            raise NoInput("the rater's masks", path, "do not exist", "check the path")
    if len(paths) < 2:
        raise NoInput("a consensus", f"of {len(paths)}", "needs two raters or more", "name a folder for each rater")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("the raters", "", "include one of them twice", "name each rater once")
    folders = [path for path in paths if path.is_dir()]
    if folders and len(folders) < len(paths):
        raise UsageError("the raters", "", "mix folders and files", "give a folder for each rater, or a mask for each")
    raters = _names(paths)
    if not folders:
        return RaterMasks(
            raters=raters, cases={_common(paths): {r: (path,) for r, path in zip(raters, paths, strict=True)}}
        )
    found: dict[str, dict[str, list[Path]]] = {}
    spelling: dict[str, str] = {}
    for rater, folder in zip(raters, folders, strict=True):
        for path in _masks(folder):
            case = case_of_mask(path)
            spelling.setdefault(folded(case), case)
            found.setdefault(folded(case), {}).setdefault(rater, []).append(path)
    cases = {
        spelling[key]: {rater: _meant(files) for rater, files in found[key].items()}
        for key in sorted(found, key=lambda key: spelling[key])
    }
    if not any(len(files) > 1 for files in cases.values()):
        rule = "have no case in common"
        raise NoInput("the folders", ", ".join(map(printable, raters)), rule, "give masks of the same case equal names")
    return RaterMasks(raters=raters, cases=cases, folders=tuple(folders))


def case_of_mask(path: Path) -> str:
    """Return the case of a mask: its name without the ending of the format and without `_mask` and the like."""
    name = plain_name(bare_name(path))
    while (shorter := _KIND.sub("", name)) not in ("", name):
        name = shorter
    return name


def _masks(folder: Path) -> Iterator[Path]:
    for base, _, names in walk(folder):
        others, corrected = _results(Path(base), names)
        for name in filter(_IMAGE.search, names):
            path, stem = Path(base, name), bare_name(Path(name))
            of_brain = _BRAIN.search(stem) and path.with_name(_BRAIN.sub("_prob", stem) + ".nii.gz").is_file()
            kept = kept_mask(path)
            # an edited mask that was not taken in is no kept one: it is unclear which of the two is the rater's
            is_kept = kept is not None and (kept.kind != "edited" or bare_name(kept.mask) in corrected)
            if stem not in others and not is_kept and not _NOT_A_MASK.search(stem) and not of_brain:
                yield path


def _results(folder: Path, names: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the names, without endings, of images of a folder's results that are no masks, and of corrected masks."""
    others, corrected = set[str](), set[str]()
    for name in names:
        record = read_record(folder / name) if name.endswith(".json") else None
        if record is None or record["outcome"] != "done" or "files" not in record:
            continue
        mask = bare_name(Path(record["files"]["mask"]))
        others |= {bare_name(Path(file)) for file in record["files"].values() if _IMAGE.search(file)} - {mask}
        if record.get("correction"):
            corrected.add(mask)
    return others, corrected


def _meant(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that say that they are masks; all if none does, for then it is unclear."""
    named = tuple(path for path in paths if _KIND.search(bare_name(path)))
    return named or tuple(paths)


def _common(paths: Sequence[Path]) -> str:
    """Return the words that the names of all files begin with; the first's name if there are none."""
    names = [case_of_mask(path).split("_") for path in paths]
    words = []
    for column in zip(*names, strict=False):
        if len(set(column)) > 1:
            break
        words.append(column[0])
    return "_".join(words) or case_of_mask(paths[0])


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a different name for each rater: that of the file or folder, or of the first parent that differs."""
    parts = [(*reversed(path.absolute().parent.parts), bare_name(path.absolute())) for path in paths]
    depth = min(map(len, parts)) - 1
    for place in (-1, *range(depth)):
        names = [part[place] for part in parts]
        if len(set(map(folded, names))) == len(names):
            return tuple(map(plain_name, names))
    return tuple(plain_name(str(path)) for path in paths)
