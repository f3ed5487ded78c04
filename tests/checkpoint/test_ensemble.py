"""Folds, or models named together, are one set of weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import Card, find_weights, load_members, load_weights, save_weights, store_card
from insula.config import AttentionUNet, Calibration, PrepareConfig, Scaling, SegmentConfig, SEUNet
from insula.errors import BadData, NoInput, UsageError
from insula.infer import infer, infer_mean
from insula.models import build_model

_MODELS = (AttentionUNet(widths=(2, 4)), SEUNet(widths=(2, 4)))


def _save(folder: Path, number: int, *, prepare: PrepareConfig = PrepareConfig()) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(number)
    config = _MODELS[number % 2]
    card = Card(
        name="w",
        model=config,
        prepare=prepare,
        threshold=0.4 + 0.1 * number,
        calibration=Calibration(temperature=1.0 + number),
    )
    save_weights(folder, build_model(config), card)


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    for number in range(3):
        _save(tmp_path / "cv" / f"fold{number}", number)
    (tmp_path / "cv" / "index.html").touch()
    return tmp_path / "cv"


def test_a_folder_of_folds_is_the_mean_of_their_probabilities(folds: Path) -> None:
    ensemble = load_weights(str(folds))
    members = [load_weights(str(folds / f"fold{number}")) for number in range(3)]
    assert (ensemble.card.name, ensemble.card.threshold) == ("cv", pytest.approx(0.5))
    image = torch.randn(1, 1, 16, 16, 16)
    config = SegmentConfig(device="cpu", precision="float32")
    prob, _ = infer_mean(ensemble.networks, image, config)
    alone = [infer(member.model, image, config, scaling=member.card.calibration.scaling)[0] for member in members]
    torch.testing.assert_close(prob.lesion, torch.stack([member.lesion for member in alone]).mean(0))
    warmer, _ = infer_mean(ensemble.networks, image, config, scaling=Scaling(2.0))
    torch.testing.assert_close(torch.logit(warmer.lesion), torch.logit(prob.lesion) / 2, rtol=1e-3, atol=1e-4)
    assert [listed["sha256"] for listed in ensemble.card.provenance["members"]] == [member.sha256 for member in members]


def test_names_joined_by_commas_are_an_ensemble(folds: Path) -> None:
    two = load_weights(f"{folds / 'fold0'}, {folds / 'fold2' / 'w.safetensors'}")
    assert len(two.networks) == 2
    assert two.card.threshold == pytest.approx(0.5)
    assert two.sha256 != load_weights(str(folds)).sha256
    assert len(load_weights(f"{folds},baseline").networks) == 4
    with pytest.raises(UsageError, match="no common card"):
        find_weights("baseline,baseline")
    with pytest.raises(NoInput, match="beside a comma"):
        load_weights(f"{folds / 'fold0'},")


def test_the_members_of_an_ensemble_are_loaded_with_their_own_cards(folds: Path) -> None:
    members = load_members(str(folds))
    assert [member.card.threshold for member in members] == pytest.approx([0.4, 0.5, 0.6])
    assert [member.sha256 for member in members] == [load_weights(str(folds / f"fold{n}")).sha256 for n in range(3)]
    assert len(load_members(str(folds / "fold0"))) == 1


def test_an_ensemble_has_no_one_network(folds: Path) -> None:
    with pytest.raises(UsageError, match="an ensemble of 3 networks"):
        _ = load_weights(str(folds)).model


def test_what_is_calibrated_together_is_kept_together(folds: Path) -> None:
    before = load_weights(str(folds))
    card = replace(before.card, threshold=0.31, min_lesion_ml=0.5, calibration=Calibration(temperature=1.7))
    path = store_card(str(folds), card)
    assert path == find_weights(str(folds)) == folds / "ensemble.json"
    after = load_weights(str(folds)).card
    assert (after.threshold, after.min_lesion_ml, after.calibration.temperature) == (0.31, 0.5, 1.7)
    shutil.rmtree(folds / "fold1")
    with pytest.raises(BadData, match="calibrated with other weights"):
        load_weights(str(folds))
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(BadData, match="not of format"):
        load_weights(str(folds))


@pytest.mark.parametrize("change", ["weights", "calibration", "number"])
def test_an_ensemble_whose_members_changed_can_be_calibrated_again(change: str, folds: Path) -> None:
    name, member = str(folds), str(folds / "fold1")
    calibrated = replace(load_weights(name).card, threshold=0.31)
    store_card(name, calibrated)
    if change == "weights":
        shutil.rmtree(member)
        _save(Path(member), 3)
    elif change == "calibration":
        card = load_weights(member).card
        store_card(member, replace(card, threshold=0.7))
        assert load_weights(name).card == calibrated, "a member's threshold does not count"
        store_card(member, replace(card, calibration=Calibration(temperature=3.0)))
    else:
        shutil.rmtree(member)
    with pytest.raises(BadData, match=r"was calibrated .*; calibrate it again, or delete ensemble\.json"):
        load_weights(name)
    ensemble = load_weights(name, to_calibrate=True)
    assert ensemble.card.threshold != 0.31
    assert ensemble.card.calibration == Calibration()
    store_card(name, replace(ensemble.card, threshold=0.42))
    assert load_weights(name).card.threshold == 0.42


def test_a_card_that_does_not_list_the_members_calibrations_is_taken(folds: Path) -> None:
    path = store_card(str(folds), replace(load_weights(str(folds)).card, threshold=0.31))
    tree = json.loads(path.read_text())
    del tree["scalings"]
    path.write_text(json.dumps(tree))
    assert load_weights(str(folds)).card.threshold == 0.31


def test_only_folds_that_are_done_and_named_once_count(folds: Path) -> None:
    shutil.copytree(folds / "fold0", folds / "fold0_old")
    (folds / "fold1" / "notes").mkdir()
    assert len(load_weights(str(folds)).networks) == 3
    with pytest.raises(UsageError, match="named twice"):
        load_weights(f"{folds},{folds / 'fold1'}")
    card = load_weights(str(folds / "fold2")).card
    store_card(str(folds / "fold2"), replace(card, provenance={"steps": 3, "recipe": {"train": {"steps": 9}}}))
    with pytest.raises(BadData, match="fold2 stands at step 3 of 9"):
        load_weights(str(folds))
    assert len(load_weights(f"{folds / 'fold0'},{folds / 'fold2'}").networks) == 2


def test_a_single_fold_counts_when_it_is_done(folds: Path) -> None:
    for number in (1, 2):
        shutil.rmtree(folds / f"fold{number}")
    card = load_weights(str(folds)).card
    store_card(str(folds / "fold0"), replace(card, provenance={"steps": 3, "recipe": {"train": {"steps": 9}}}))
    with pytest.raises(BadData, match="fold0 stands at step 3 of 9"):
        load_weights(str(folds))
    assert len(load_weights(str(folds / "fold0")).networks) == 1


def test_a_comma_in_a_folders_name_is_no_list(folds: Path) -> None:
    folder = folds.rename(folds.with_name("x,y"))
    assert load_weights(str(folder)).card.name == "x,y"
    assert load_weights(str(folder / "fold0")).card.name == "w"


def test_members_must_see_alike(folds: Path) -> None:
    _save(folds / "fold3", 3, prepare=PrepareConfig(box=(96, 96, 96)))
    with pytest.raises(BadData, match="prepared in another way"):
        load_weights(str(folds))


def test_the_bundled_ensemble_is_of_the_bundled_weights_and_calibrated_with_them() -> None:
    ensemble = load_weights("ensemble")
    assert find_weights("ensemble").parent == find_weights("smart").parent
    alone = [load_weights(name) for name in ("baseline", "enhanced", "smart")]
    assert [listed["sha256"] for listed in ensemble.card.provenance["members"]] == [member.sha256 for member in alone]
    assert [scaling for _, scaling in ensemble.networks] == [member.card.calibration.scaling for member in alone]
    assert ensemble.card.calibration.fitted_on is not None
    with pytest.raises(UsageError, match="baseline are named twice"):
        load_weights("ensemble,baseline")


def test_a_bundled_ensemble_notices_that_a_member_is_another(folds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is calibrated and stored under its name, as a folder of folds is.

    That a member's training was cut short is no fault: the card names it by its hash.
    """
    home = folds.parent / "weights"
    home.mkdir()
    for number, name in enumerate(("one", "two")):
        for kind in ("json", "safetensors"):
            shutil.copy(folds / f"fold{number}" / f"w.{kind}", home / f"{name}.{kind}")
    monkeypatch.setattr("insula.checkpoint.weights._BUNDLED", home)
    members = {name: load_weights(name).sha256 for name in ("one", "two")}
    short = {"steps": 3, "recipe": {"train": {"steps": 9}}}
    store_card("one", replace(load_weights("one").card, provenance=short))
    card = {"members": members, "threshold": 0.3, "min_lesion_ml": 0.1, "calibration": {}}
    (home / "both.json").write_text(json.dumps({"format": "insula-ensemble/1", **card}))
    ensemble = load_weights("both")
    assert (len(ensemble.networks), ensemble.card.threshold) == (2, 0.3)
    assert store_card("both", replace(ensemble.card, threshold=0.2)) == home / "both.json"
    assert load_weights("both").card.threshold == 0.2
    with pytest.raises(UsageError, match="an ensemble of 2 networks"):
        _ = load_weights("both").model
    for kind in ("json", "safetensors"):
        shutil.copy(folds / "fold2" / f"w.{kind}", home / f"two.{kind}")
    with pytest.raises(BadData, match="calibrated with other weights"):
        load_weights("both")
