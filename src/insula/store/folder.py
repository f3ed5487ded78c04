"""A cohort prepared for training: one memory-mapped file per case, checked by hash.

The format is safetensors: it is already used for the weights, maps into memory without copying, is written whole and
atomically, and contains no code. One file per case lets an interrupted run continue. zarr and HDF5 would add a
dependency for compression that every random read has to undo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from insula.cohort.entry import Entry
from insula.config import PrepareConfig, from_dict, to_dict
from insula.errors import BadData, CannotCreate, InsulaError, IOFault, NoInput, NoPermission
from insula.io import read_mask, read_scan, write_bytes, write_json
from insula.io.bytes import read_file
from insula.prepare import prepare

__all__ = ["Precision", "Store", "StoredCase", "forget_index", "store_case", "try_store", "write_index"]

Precision = Literal["uint8", "float16"]
_FORMAT = "insula-store/1"
_FACTS = "insula"  # a single key: safetensors writes several in any order, but the same case must give the same bytes
_INDEX = "store.json"


@dataclass(frozen=True, kw_only=True)
class StoredCase:
    """Index entry of a case."""

    case: str
    subject: str
    centre: str
    chronicity: str
    file: str
    sha256: str
    """SHA-256 of the file."""
    source_sha256: str
    """SHA-256 of the image file, the mask file and the preparation settings."""
    scale: float
    """Normalised intensity = stored value * scale + offset."""
    offset: float
    lesion_voxels: int


def store_case(entry: Entry, folder: Path, config: PrepareConfig, precision: Precision) -> StoredCase:
    """Prepare one case and write it; an existing file made from the same bytes in the same way is only verified.

    Args:
        entry: a case with an image and a mask.
        folder: the folder of the store.
        config: box, spacing and scale.
        precision: uint8 resolves 1/255 of the intensity range of the case; float16 is practically lossless.

    Raises:
        BadData: a file is unreadable, or image and mask are not on the same grid.
    """
    path = folder / f"{entry.case}.safetensors"
    scan = read_scan(entry.image, name=entry.case)
    digest = hashlib.sha256(read_file(entry.mask).data)
    digest.update(
        f"{scan.file.sha256 if scan.file else ''} {precision} {entry.label} {json.dumps(to_dict(config))}".encode()
    )
    source = digest.hexdigest()
    if (kept := _kept(path, source)) is not None:
        return replace(kept, subject=entry.subject, centre=entry.centre, chronicity=entry.chronicity)
    lesion = read_mask(entry.mask, label=entry.label).onto(scan.grid, what=f"the mask of {entry.case}")
    prepared = prepare(scan, config)
    mask = prepared.take_in(lesion)
    image = prepared.image[0, 0]
    scale, offset = 1.0, 0.0
    if precision == "uint8":
        low, high = float(image.min()), float(image.max())
        scale, offset = max(high - low, 1e-6) / 255, low
        image = ((image - offset) / scale).round().to(torch.uint8)
    else:
        image = image.half()
    tensors = {"image": image.contiguous(), "mask": torch.from_numpy(np.packbits(mask))}
    facts = {
        "case": entry.case,
        "source": source,
        "content": _content(tensors),
        "scale": scale,
        "offset": offset,
        "lesion_voxels": int(mask.sum()),
    }
    data = save_tensors(tensors, metadata={_FACTS: json.dumps(facts)})
    write_bytes(path, data)
    return StoredCase(
        case=entry.case,
        subject=entry.subject,
        centre=entry.centre,
        chronicity=entry.chronicity,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        source_sha256=source,
        scale=scale,
        offset=offset,
        lesion_voxels=int(mask.sum()),
    )


def try_store(entry: Entry, folder: Path, config: PrepareConfig, precision: Precision) -> StoredCase | InsulaError:
    """Call `store_case`, but return the error of a refused case instead of raising it, so that the others go on."""
    try:
        return store_case(entry, folder, config, precision)
    except InsulaError as error:
        if isinstance(error, CannotCreate | IOFault | NoPermission):  # the store's fault, not the case's
            raise
        return error


def _kept(path: Path, source: str) -> StoredCase | None:
    """Return the entry of an existing, undamaged file made from the same bytes in the same way; otherwise None."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_FACTS, "{}"))
            if facts.get("source") != source:
                return None
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (FileNotFoundError, SafetensorError, ValueError):
        return None
    if facts.get("content") != _content(tensors):
        return None
    return StoredCase(
        case=facts["case"],
        subject="",
        centre="",
        chronicity="",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        source_sha256=source,
        scale=facts["scale"],
        offset=facts["offset"],
        lesion_voxels=facts["lesion_voxels"],
    )


def _content(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode(errors="surrogateescape"))
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


def forget_index(folder: Path) -> None:
    """Delete the index before the first case is written; an old index would give new files an old scale."""
    (folder / _INDEX).unlink(missing_ok=True)


def no_lesion(voxels: Iterable[int | None]) -> list[str]:
    """Return a warning if no case has a lesion, because there is nothing to learn; otherwise an empty list.

    Args:
        voxels: lesion voxels of each case; None if unknown.
    """
    known = [count for count in voxels if count is not None]
    if not known or any(known):
        return []
    which = (
        "the one case has no lesion: its mask is"
        if len(known) == 1
        else f"none of {len(known)} cases has a lesion: all masks are"
    )
    return [f"{which} empty, and there is nothing to learn; see how the masks were written, or name their `label`"]


def write_index(
    folder: Path, cases: list[StoredCase], config: PrepareConfig, precision: Precision, *, notes: Sequence[str] = ()
) -> None:
    """Write the index; call it last, because a folder without an index is not a store.

    Args:
        folder: the folder of the store.
        cases: all cases.
        config: how they were prepared.
        precision: precision of the stored images.
        notes: what was read from the sheets of the cohort, and what was skipped.
    """
    tree = {
        "format": _FORMAT,
        "precision": precision,
        "prepare": to_dict(config),
        "cases": [asdict(case) for case in cases],
        "notes": list(notes),
    }
    write_json(folder / _INDEX, tree)


class Store:
    """An open store.

    Args:
        folder: a folder written by `insula cohort prepare`.

    Raises:
        NoInput: the folder has no index.
        BadData: the index is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder = Path(folder)
        try:
            tree: Any = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            if tree["format"] != _FORMAT:
                raise KeyError(tree["format"])
            self.prepare = from_dict(PrepareConfig, tree["prepare"], what="the store")
            self.cases = {case["case"]: StoredCase(**case) for case in tree["cases"]}
        except FileNotFoundError:
            raise NoInput("the store", folder, "has no store.json", "make it with `insula cohort prepare`") from None
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(
                "the store", folder.name, f"has a damaged index ({error})", "run `insula cohort prepare` again"
            ) from None

    def stored(self, case: str) -> tuple[Tensor, Tensor]:
        """Return the image as stored and the packed mask, memory-mapped without a copy."""
        known = self._entry(case)
        try:
            with safe_open(self.folder / known.file, framework="pt") as file:
                return file.get_tensor("image"), file.get_tensor("mask")
        except (FileNotFoundError, SafetensorError) as error:
            raise BadData(
                "the stored case", case, f"cannot be read ({error})", "run `insula cohort prepare` again"
            ) from None

    def load(self, case: str, *, verify: bool = False) -> tuple[Float[Tensor, "i j k"], Bool[Tensor, "i j k"]]:
        """Return the normalised intensities (float32) and the mask.

        Args:
            case: its name.
            verify: whether to compare the file's SHA-256 with the index; the file is then read whole, once.

        Raises:
            NoInput: the store has no such case.
            BadData: the file is missing or damaged.
        """
        known = self._entry(case)
        image, packed = self._verified(known) if verify else self.stored(case)
        mask = np.unpackbits(packed.numpy(), count=image.numel()).reshape(image.shape).astype(bool)
        return image.float() * known.scale + known.offset, torch.from_numpy(mask)

    def verify(self) -> list[str]:
        """Return the cases whose files are missing or damaged."""
        return [case.case for case in self.cases.values() if self._intact(case) is None]

    def _entry(self, case: str) -> StoredCase:
        known = self.cases.get(case)
        if known is None:
            raise NoInput("the case", case, "is not in the store", "see its store.json")
        return known

    def _verified(self, case: StoredCase) -> tuple[Tensor, Tensor]:
        """Return the tensors from the very bytes whose hash was compared."""
        data = self._intact(case)
        if data is None:
            rule = "is missing, or its SHA-256 does not match the index"
            raise BadData("the stored case", case.case, rule, "run `insula cohort prepare` again")
        tensors = load_tensors(data)
        return tensors["image"], tensors["mask"]

    def _intact(self, case: StoredCase) -> bytes | None:
        """Return the bytes of a stored file; None if it is missing or its SHA-256 differs."""
        path = self.folder / case.file
        data = path.read_bytes() if path.exists() else b""
        return data if hashlib.sha256(data).hexdigest() == case.sha256 else None
