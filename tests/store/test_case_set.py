"""Cases in memory are what the store holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cohort.tree import plant_tree
from insula.cohort import find_cohort
from insula.config import PrepareConfig
from insula.errors import NoInput
from insula.store import CaseSet, Store, store_case, write_index

_CONFIG = PrepareConfig(box=(48, 64, 48), spacing_mm=4.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    tree, folder = (tmp_path_factory.mktemp(name) for name in ("tree", "store"))
    plant_tree(tree, sites=1, each=3)
    stored = [store_case(entry, folder, _CONFIG, "uint8") for entry in find_cohort(tree).entries]
    write_index(folder, stored, _CONFIG, "uint8")
    return Store(folder)


def test_all_cases_or_those_named(store: Store) -> None:
    cases = CaseSet.from_store(store)
    assert cases.names == tuple(store.cases)
    assert len(cases) == 3
    for name, image, mask in zip(cases.names, cases.images, cases.masks, strict=True):
        stored, truth = store.load(name)
        assert torch.equal(image, stored.half())
        assert torch.equal(mask, truth)
    two = CaseSet.from_store(store, list(store.cases)[1:])
    assert two.names == cases.names[1:]
    assert two.fingerprint != cases.fingerprint
    assert CaseSet.from_store(store).fingerprint == cases.fingerprint


def test_a_name_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="sub-x"):
        CaseSet.from_store(store, ["sub-x"])


def test_some_of_the_cases_keep_their_order_and_get_a_fingerprint_of_their_own(store: Store) -> None:
    cases = CaseSet.from_store(store)
    some = cases.only([1, 0])
    assert some.names == (cases.names[1], cases.names[0])
    assert some.images[0] is cases.images[1] and some.masks[1] is cases.masks[0]
    assert some.subjects == (cases.subjects[1], cases.subjects[0])
    assert some.brains == ()
    assert len({cases.fingerprint, some.fingerprint, cases.only([0, 1]).fingerprint}) == 3
