"""Prepared training cases in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float16, Int8
from torch import Tensor

from insula.errors import BadData
from insula.store.folder import Store
from insula.synthetic.sources import Sources

__all__ = ["CaseSet"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CaseSet:
    """Prepared images and masks, 23 MB per case of 192 x 224 x 176 voxels, on the host or on a GPU."""

    names: tuple[str, ...]
    images: tuple[Float16[Tensor, "i j k"], ...]
    """Images, normalised as at inference."""
    masks: tuple[Bool[Tensor, "i j k"], ...]
    fingerprint: str
    """SHA-256 of the data that they were made from."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the card of the weights; empty for a cohort."""
    brains: tuple[Int8[Tensor, "i j k"], ...] = ()
    """1 brain, 0 not brain, -1 unknown; empty if no brain is known."""
    centres: tuple[str, ...] = ()
    """Centre, or source head, of each case; cases of one centre are correlated. Empty if unknown."""
    subjects: tuple[str, ...] = ()
    """Subject of each case; empty if unknown."""
    painted_from: Sources | None = None
    """Label maps from which training can paint further heads; None if it needs none."""

    @classmethod
    def from_store(cls, store: Store, names: Iterable[str] | None = None) -> CaseSet:
        """Read the named cases of a store, or all of them; each file is checked against its SHA-256.

        Raises:
            NoInput: the store has no case of that name.
            BadData: a file is damaged, or there is no case.
        """
        chosen = tuple(store.cases if names is None else names)
        if not chosen:
            raise BadData("the store", store.folder.name, "has no case to train on", "see `insula cohort check`")
        loaded = [store.load(name, verify=True) for name in chosen]
        digest = hashlib.sha256()
        for name in chosen:
            digest.update(f"{name} {store.cases[name].sha256}\n".encode())
        return cls(
            names=chosen,
            images=tuple(image.half() for image, _ in loaded),
            masks=tuple(mask for _, mask in loaded),
            fingerprint=digest.hexdigest(),
            centres=tuple(store.cases[name].centre for name in chosen),
            subjects=tuple(store.cases[name].subject for name in chosen),
        )

    def only(self, numbers: Sequence[int]) -> CaseSet:
        """Return the cases of these numbers, in this order."""
        parts = ("names", "images", "masks", "brains", "centres", "subjects")
        chosen: dict[str, Any] = {
            part: tuple(getattr(self, part)[n] for n in numbers) for part in parts if getattr(self, part)
        }
        return replace(self, fingerprint=f"{self.fingerprint} {list(numbers)}", **chosen)

    def to(self, device: torch.device) -> CaseSet:
        """Return the same cases in the memory of a device."""
        images, masks, brains = (tuple(tensor.to(device) for tensor in part) for part in self._parts)
        return replace(self, images=images, masks=masks, brains=brains)

    def pinned(self) -> CaseSet:
        """Return the same cases in pinned memory, from which a GPU can copy while it computes."""
        if not torch.cuda.is_available():
            return self
        images, masks, brains = (tuple(tensor.pin_memory() for tensor in part) for part in self._parts)
        return replace(self, images=images, masks=masks, brains=brains)

    @property
    def nbytes(self) -> int:
        """Total size of all images, masks and brains [bytes]."""
        return sum(tensor.nbytes for part in self._parts for tensor in part)

    @property
    def _parts(self) -> tuple[tuple[Tensor, ...], ...]:
        return self.images, self.masks, self.brains

    def __len__(self) -> int:
        return len(self.names)
