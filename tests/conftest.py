"""What every test may ask for: small phantoms and a small network, both made here, nothing downloaded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula import prepare as preparation
from insula.checkpoint import Card, load_weights, save_weights
from insula.config import AttentionUNet, PrepareConfig
from insula.models import build_model, probabilities
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from insula.volume import Case

_LONGEST = ("test_docs.py", "test_large.py", "test_commands.py")
_LONG = (
    "adapt/test_run.py", "bench/test_predict.py", "checkpoint/test_damaged.py", "cli/test_adapt.py",
    "cli/test_bench_predict.py", "cli/test_bids.py", "cli/test_cohort.py", "cli/test_commands.py",
    "cli/test_evaluate.py", "cli/test_train.py", "corpus/test_large.py", "export/test_monai_bundle.py",
    "infer/test_cache.py", "infer/test_engines.py", "infer/test_package.py", "io/test_atomic.py",
    "serve/challenge/test_server.py", "serve/dicom/test_guard.py", "serve/dicom/test_listener.py",
    "serve/dicom/test_orthanc.py", "serve/test_audit.py", "serve/test_clients.py", "serve/test_killed.py",
    "serve/study/test_folder_bids.py", "serve/test_masks.py", "serve/test_operate.py", "serve/test_orders.py",
    "serve/test_page.py", "serve/test_paint.py", "serve/test_routes.py", "serve/test_service.py",
    "serve/test_troubles.py", "serve/test_workbench.py", "study/test_claims.py", "synthetic/test_cohort.py",
    "synthetic/test_sources.py", "tests/test_docs.py", "train/test_world.py",
)  # fmt: skip
"""Files that only `make test-all` runs; in others, single tests are marked `long`."""

os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # as the command line sets it, before torch first allocates
torch.set_num_threads(1)  # two test processes on two cores


@pytest.fixture(scope="session")
def coarse_case() -> Case:
    """The phantom at 4 mm: a head of 48 x 56 x 48 voxels."""
    return phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0)))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a two-stage network without a brain output, on a 4 mm box.

    The brightest tenth of its output is `lesion`, so masks are rich.
    """
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full", brain=False)
    model = build_model(config)
    model(torch.randn(2, 1, 16, 16, 16))  # moves the running statistics away from their start
    prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    with torch.no_grad():
        answer = torch.sigmoid(
            model.eval()(
                preparation.prepare(phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0))).scan, prepare).image
            )
        )
    threshold = round(float(answer.quantile(0.9)), 4)
    save_weights(folder, model, Card(name="tiny", model=config, prepare=prepare, threshold=threshold))
    return folder


@pytest.fixture(scope="session")
def quiet_weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_weights`, but pieces under half a millilitre are dropped: on whole scans there would be thousands."""
    folder = tmp_path_factory.mktemp("quiet")
    tiny = load_weights(str(tiny_weights))
    save_weights(folder, tiny.model, replace(tiny.card, min_lesion_ml=0.5))
    return folder


@pytest.fixture(scope="session")
def brain_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_weights` with a brain output: a fifth of the box, in pieces and with holes. A quarter of it is `lesion`."""
    folder = tmp_path_factory.mktemp("brain")
    torch.manual_seed(1)
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full")
    model = build_model(config)
    model(torch.randn(2, 1, 16, 16, 16))
    prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    image = preparation.prepare(phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0))).scan, prepare).image
    with torch.no_grad():
        logits = model.eval()(image)
        model.head.bias[1] -= logits[:, 1].quantile(0.8)
        lesion, brain = probabilities(model(image))[0]
    threshold = round(float(lesion[brain > 0.5].quantile(0.75)), 4)
    save_weights(folder, model, Card(name="tiny", model=config, prepare=prepare, threshold=threshold))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: with two processes, one that ends with them would work alone."""
    for item in items:
        if item.path.as_posix().endswith(_LONG):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.path.name not in _LONGEST)
