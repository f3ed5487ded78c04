"""Cases in memory, ready to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
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
    """Prepared images and masks, 23 MB a case of 192 x 224 x 176: where they lie, training draws from."""

    names: tuple[str, ...]
    images: tuple[Float16[Tensor, "i j k"], ...]
    """Normalised as at inference."""
    masks: tuple[Bool[Tensor, "i j k"], ...]
    fingerprint: str
    """SHA-256 of what they were made from."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What the card of weights says of them beyond that; of a cohort, nothing."""
    brains: tuple[Int8[Tensor, "i j k"], ...] = ()
    """1 brain, 0 not, -1 not known, where brains are known at all."""
    centres: tuple[str, ...] = ()
    """Where each case comes from, or whose head it was made of: cases of one are alike. Empty where nothing is known."""
    subjects: tuple[str, ...] = ()
    """Whose each case is, where that is known."""
    painted_from: Sources | None = None
    """Label maps to paint further heads from, if training asks for them."""

    @classmethod
    def from_store(cls, store: Store, names: Iterable[str] | None = None) -> CaseSet:
        """Read cases of a store, all of them if none are named.

        Raises:
            NoInput: a name that the store does not have.
            BadData: a file is damaged, or there is no case at all.
        """
        chosen = tuple(store.cases if names is None else names)
        if not chosen:
            raise BadData("the store", store.folder.name, "has no case to train on", "see `insula cohort check`")
        loaded = [store.load(name) for name in chosen]
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

    def to(self, device: torch.device) -> CaseSet:
        """The same cases in a device's memory."""
        images, masks, brains = (tuple(x.to(device) for x in part) for part in self._parts)
        return replace(self, images=images, masks=masks, brains=brains)

    def pinned(self) -> CaseSet:
        """The same cases where a GPU can fetch them from while it works."""
        if not torch.cuda.is_available():
            return self
        images, masks, brains = (tuple(x.pin_memory() for x in part) for part in self._parts)
        return replace(self, images=images, masks=masks, brains=brains)

    @property
    def nbytes(self) -> int:
        """Bytes of all images, masks and brains."""
        return sum(x.nbytes for part in self._parts for x in part)

    @property
    def _parts(self) -> tuple[tuple[Tensor, ...], ...]:
        return self.images, self.masks, self.brains

    def __len__(self) -> int:
        return len(self.names)
