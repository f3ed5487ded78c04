"""The page of one case of a served study: its mask is painted and saved into the folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.conftest import TOKEN
from serve.painting import MISSING, check_stroke, downloaded, paint


@pytest.mark.long
@pytest.mark.skipif(MISSING, reason="chromium or the page's packages are not installed")
def test_a_case_is_painted_and_saved_into_the_folder(served: Any, tmp_path: Path) -> None:
    mask = served.results / "sub-b c_T1w_mask.nii.gz"
    before = mask.read_bytes()
    address = f"{served.client.base_url}/?case=sub-b%20c_T1w"
    stroke = paint(address, TOKEN, "", tmp_path, pictures=True)
    check_stroke(before, mask.read_bytes(), stroke)
    check_stroke((served.results / "sub-b c_T1w_network_mask.nii.gz").read_bytes(), mask.read_bytes(), stroke)
    assert downloaded(tmp_path, "sub-b c_T1w_corrected.nii.gz")
