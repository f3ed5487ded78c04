"""An adaptation from scans to weights: gains are kept, chance is not, and a run that was stopped goes on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapt.scans import labelled
from insula.adapt import adapt
from insula.adapt.run import Adaptation, Stage
from insula.checkpoint import Card, Weights, load_weights, save_weights
from insula.config import AdaptConfig, AttentionUNet, PrepareConfig, SegmentConfig
from insula.errors import CannotCreate, NoInput, UsageError
from insula.models import build_model
from insula.predict import Result, segment
from insula.synthetic import Sources
from insula.volume import Scan
from simulate.hosts import ball_outline, small_host

_CONFIG = AdaptConfig(steps=50, folds=2, lr=3e-2, device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A small network that knows nothing yet."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full", brain=False)
    prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    save_weights(folder, build_model(config), Card(name="tiny", model=config, prepare=prepare))
    return load_weights(str(folder))


@pytest.fixture(scope="module")
def gained(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> tuple[Adaptation, Path, list[Stage]]:
    out, stages = tmp_path_factory.mktemp("adapted"), list[Stage]()
    return adapt(labelled(6), out, weights, config=_CONFIG, report=stages.append), out, stages


def test_weights_that_learned_something_are_kept(gained: tuple[Adaptation, Path, list[Stage]]) -> None:
    adaptation, out, _ = gained
    assert adaptation.decision.gained
    assert adaptation.weights == out / "tiny-adapted.json"
    adapted = load_weights(str(adaptation.weights))
    assert adapted.card.provenance["adapted"]["cases"] == 6
    assert adapted.card.provenance["started_from"]["name"] == "tiny"
    assert adapted.card.calibration.volume is None
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "adapt.json",
        "adapt.tsv",
        "tiny-adapted.json",
        "tiny-adapted.safetensors",
    ]


def test_the_report_has_every_case_once(gained: tuple[Adaptation, Path, list[Stage]]) -> None:
    adaptation, out, _ = gained
    with (out / "adapt.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [row["case"] for row in rows] == [f"sub-{n:02d}_T1w" for n in range(6)]
    mean = sum(float(row["after"]) - float(row["before"]) for row in rows) / 6
    tree = json.loads((out / "adapt.json").read_text(encoding="utf-8"))
    assert tree["left_out"]["difference"]["mean"]["value"] == pytest.approx(mean)
    assert tree["weights"] == "tiny-adapted.json"
    assert adaptation.decision.difference.mean.n == 6


def test_the_time_is_known_before_the_first_step(gained: tuple[Adaptation, Path, list[Stage]]) -> None:
    _, _, stages = gained
    first = next(n for n, stage in enumerate(stages) if stage.progress is not None)
    assert any(stage.seconds and stage.runs == 3 for stage in stages[:first])
    assert {stage.run for stage in stages if stage.progress is not None} == {1, 2, 3}


def test_left_out_cases_are_judged_by_the_decisions_of_the_weights_that_are_written(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(weights.card, threshold=0.3, min_lesion_ml=0.2)
    cards = []

    def recorded(scan: Scan, config: SegmentConfig, *, weights: Weights) -> Result:
        cards.append(weights.card)
        return segment(scan, config, weights=weights)

    monkeypatch.setattr("insula.adapt.run.segment", recorded)
    adapt(labelled(5), tmp_path, replace(weights, card=card), config=replace(_CONFIG, steps=2))
    assert {card.name for card in cards} == {"tiny", "tiny-adapted"}
    assert {(card.threshold, card.min_lesion_ml) for card in cards} == {(0.3, 0.2)}


def test_one_subject_cannot_be_left_out(weights: Weights, tmp_path: Path) -> None:
    same = {f"sub-00_ses-{n}_T1w": read for n, read in enumerate(labelled(5).values())}
    with pytest.raises(NoInput, match="are of one subject"):
        adapt(same, tmp_path, weights, config=_CONFIG)


def test_nothing_is_written_over_weights(gained: tuple[Adaptation, Path, list[Stage]], weights: Weights) -> None:
    _, out, _ = gained
    with pytest.raises(CannotCreate, match="holds tiny-adapted already"):
        adapt(labelled(6), out, weights, config=_CONFIG)


def test_masks_of_other_heads_bring_no_gain(weights: Weights, tmp_path: Path) -> None:
    adaptation = adapt(labelled(6, shuffled=True), tmp_path, weights, config=_CONFIG)
    assert adaptation.weights is None
    assert not adaptation.decision.gained and adaptation.reason == "left-out cases lose"
    assert not list(tmp_path.glob("*.safetensors"))
    assert json.loads((tmp_path / "adapt.json").read_text(encoding="utf-8"))["weights"] is None


def test_a_stopped_run_goes_on_and_ends_with_the_same_weights(
    gained: tuple[Adaptation, Path, list[Stage]], weights: Weights, tmp_path: Path
) -> None:
    adaptation, _, _ = gained

    def stop(stage: Stage) -> None:
        if stage.run == 2 and stage.progress is not None and stage.progress.step == 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(labelled(6), tmp_path, weights, config=_CONFIG, report=stop)
    stages = list[Stage]()
    again = adapt(labelled(6), tmp_path, weights, config=_CONFIG, report=stages.append)
    assert {stage.run for stage in stages if stage.progress is not None} == {2, 3}
    assert again.changes == adaptation.changes
    assert again.weights is not None and adaptation.weights is not None
    assert load_weights(str(again.weights)).sha256 == load_weights(str(adaptation.weights)).sha256


def test_simulated_heads_are_mixed_in_and_must_not_lose(weights: Weights, tmp_path: Path) -> None:
    shapes = (ball_outline(),)
    sources = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="phantom")
    with pytest.raises(UsageError, match=r"prepare.spacing_mm 4.0 is not 1 mm, the spacing of simulated heads"):
        adapt(labelled(6), tmp_path / "coarse", weights, sources=(sources, sources), config=_CONFIG)
    fine = replace(weights, card=replace(weights.card, prepare=replace(weights.card.prepare, spacing_mm=1.0)))
    adaptation = adapt(labelled(6, reach=0.2), tmp_path / "fine", fine, sources=(sources, sources), config=_CONFIG)
    assert adaptation.decision.gained
    assert adaptation.old_test is not None
    assert (adaptation.weights is not None) == adaptation.old_test.holds
