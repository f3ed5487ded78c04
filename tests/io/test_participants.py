"""Participants and sessions without a scan are counted, and the first of them are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.io.participants import count_names, without_scan


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["b"], "1 image (b)"),
        (["b", "a"], "2 images (a, b)"),
        (["d", "c", "b", "a"], "4 images (a, b, c, ...)"),
    ],
)
def test_a_count_with_its_first_names(names: list[str], text: str) -> None:
    assert count_names(names, "image") == text


def _folders(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_nothing_is_said_where_everybody_has_a_scan() -> None:
    folders = _folders("sub-1", "sub-1/anat", "sub-2", "sub-2/ses-a", "sub-2/ses-a/anat", "code")
    assert without_scan(folders, {"sub-1", "sub-2_ses-a"}) == []


def test_participants_and_sessions_without_a_scan_are_named() -> None:
    folders = _folders(
        "sub-1", "sub-1/ses-a", "sub-1/ses-b", "sub-2", "sub-2/ses-a", "sub-3", "sub-03x", "derivatives/sub-9", "ses-q"
    )
    assert without_scan(folders, {"sub-1_ses-a"}) == [
        "3 of 4 participants without a T1w scan: passed over (sub-03x, sub-2, sub-3)",
        "1 of 2 sessions without a T1w scan: passed over (sub-1_ses-b)",
    ]


def test_derivatives_and_other_names_are_nobody() -> None:
    folders = _folders("derivatives/sub-8", "sourcedata/sub-9", "sub_7", "subject", "sub-6")
    assert without_scan(folders, set()) == ["1 of 1 participant without a T1w scan: passed over (sub-6)"]


def test_labels_may_have_capitals() -> None:
    assert without_scan(_folders("sub-M01"), set()) == ["1 of 1 participant without a T1w scan: passed over (sub-M01)"]
