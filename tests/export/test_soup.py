from __future__ import annotations

from pathlib import Path

import pytest
import torch

from insula.checkpoint import Card, load_weights, save_weights
from insula.config import AttentionUNet, PrepareConfig
from insula.errors import CannotCreate
from insula.export import export_soup
from insula.models import build_model


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    config = AttentionUNet(widths=(2, 4))
    for number in range(2):
        torch.manual_seed(number)
        folder = tmp_path / "cv" / f"fold{number}"
        folder.mkdir(parents=True)
        save_weights(
            folder,
            build_model(config),
            Card(
                name="w",
                model=config,
                prepare=PrepareConfig(),
                threshold=0.4 + 0.2 * number,
                provenance={"started_from": {"sha256": "x"}},
            ),
        )
    return tmp_path / "cv"


def test_the_mean_of_folds_is_written_as_weights_of_its_own(folds: Path, tmp_path: Path) -> None:
    card = export_soup(str(folds), tmp_path / "one")
    assert card == tmp_path / "one" / "one.json"
    loaded = load_weights(str(tmp_path / "one"))
    assert (loaded.card.name, loaded.card.threshold) == ("one", pytest.approx(0.5))
    assert len(loaded.card.provenance["mean_of"]) == 2
    parts = [load_weights(str(folds / f"fold{n}")).model.head.weight for n in range(2)]
    torch.testing.assert_close(loaded.model.head.weight, torch.stack(parts).mean(0), atol=1e-3, rtol=1e-3)


def test_what_is_there_is_not_overwritten(folds: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").touch()
    with pytest.raises(CannotCreate, match="not empty"):
        export_soup(str(folds), tmp_path / "one")
    with pytest.raises(CannotCreate, match="is a file"):
        export_soup(str(folds), tmp_path / "one" / "file")
