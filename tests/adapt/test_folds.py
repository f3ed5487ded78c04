"""Folds that keep a subject together."""

from __future__ import annotations

from insula.adapt.folds import deal


def test_a_subject_is_left_out_whole() -> None:
    subjects = ["a", "a", "b", "c", "d", "e", "e"]
    folds = deal(subjects, 3, seed=0)
    assert sorted(n for fold in folds for n in fold) == list(range(7))
    for fold in folds:
        inside = {subjects[n] for n in fold}
        assert not inside & {subjects[n] for n in range(7) if n not in fold}
    assert len(folds) == 3
    assert len(deal(["a", "b", "c", "d", "e"], 9, seed=0)) == 5
