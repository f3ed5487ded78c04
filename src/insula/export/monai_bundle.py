"""Weights as a MONAI bundle, with which `python -m monai.bundle run` segments a folder."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import numpy as np
import torch

from insula.checkpoint import Card, load_weights, save_weights
from insula.errors import CannotCreate
from insula.export.about import output_names
from insula.io import write_json, write_text
from insula.types import VERSION

__all__ = ["export_monai_bundle"]

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_NOTICE = "For research only; not a medical device."
_MONAI = "1.6.1"  # the tested version, used if monai is not installed


def export_monai_bundle(weights: str, folder: Path) -> Path:
    """Write a bundle: metadata, an inference configuration, weights and card, and a README.

    Reading, preparing and deciding are insula's own (`insula.export.BeforeNetwork` and `AfterNetwork`), so that masks
    equal those of `insula segment` on the same device and precision. Running the bundle needs `pip install insula monai
    pytorch-ignite fire`.

    Args:
        weights: of a single network.
        folder: created if missing; must be empty.

    Returns:
        The folder.

    Raises:
        UsageError: the weights are an ensemble.
        CannotCreate: the folder is not empty.

    Source:
        MONAI bundle specification, docs.monai.io/en/stable/bundle.
    """
    loaded = load_weights(weights)
    model, card = loaded.model, loaded.card
    if folder.exists() and any(folder.iterdir()):
        raise CannotCreate("the folder", folder, "is not empty", "name a new one")
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    save_weights(folder / "models", model, card)
    write_json(folder / "configs" / "inference.json", _inference(card.name))
    write_text(folder / "docs" / "README.md", _readme(card))
    write_text(folder / "LICENSE", distribution("insula").read_text("licenses/LICENSE") or "Apache-2.0\n")
    write_json(folder / "configs" / "metadata.json", _metadata(card))
    return folder


def _metadata(card: Card) -> dict[str, object]:
    box = list(card.prepare.box)
    about = f"Stroke lesions on T1-weighted MRI; {card.provenance.get('trained_on', 'see the card')}. {_NOTICE}"
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": 1,
        "spatial_shape": box,
        "dtype": "float32",
        "value_range": [-card.prepare.clip, card.prepare.clip],
        "is_patch_data": False,
        "channel_def": {"0": "T1w"},
    }
    outputs = output_names(card)
    pred = {
        "type": "image",
        "format": "segmentation",
        "num_channels": len(outputs),
        "spatial_shape": box,
        "dtype": "float32",
        "value_range": [-100, 100],
        "is_patch_data": False,
        "channel_def": {str(n): name for n, name in enumerate(outputs)},
    }
    return {
        "schema": _SCHEMA,
        "version": VERSION,
        "changelog": {VERSION: "exported by insula"},
        "monai_version": _version("monai", _MONAI),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {
            "insula": VERSION,
            "pytorch-ignite": _version("pytorch-ignite", "0.5.5"),
            "fire": _version("fire", "0.7.1"),
        },
        "name": f"insula {card.name}",
        "task": "stroke lesion segmentation",
        "description": about,
        "authors": "the insula developers",
        "copyright": "Apache-2.0",
        "intended_use": _NOTICE,
        "data_type": "nibabel",
        "image_classes": "one channel, T1w",
        "pred_classes": f"logits: {', '.join(outputs)}",
        "references": [],
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
        "eval_metrics": _metrics(card),
        "supported_apps": {},
    }


def _metrics(card: Card) -> dict[str, float]:
    fitted = card.calibration.fitted_on
    mean_dice = (fitted or {}).get("mean_dice_in_sample", (fitted or {}).get("mean_dice"))
    return {"mean_dice_in_sample": mean_dice} if isinstance(mean_dice, float) else {}


def _inference(name: str) -> dict[str, object]:
    card = f"$@bundle_root + '/models/{name}.json'"
    return {
        "imports": ["$import pathlib", "$import torch", "$from insula.checkpoint import load_weights"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/output'",
        "card": card,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "files": "$[{'path': str(path)} for path in sorted(pathlib.Path(@dataset_dir).rglob('*.nii*'))]",
        "network_def": "$load_weights(@card).model",
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "insula.export.BeforeNetwork", "card": "@card"}],
        },
        "dataset": {"_target_": "Dataset", "data": "@files", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "insula.export.AfterNetwork", "card": "@card", "output_dir": "@output_dir"}],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def _readme(card: Card) -> str:
    trained = card.provenance.get("trained_on", "see the card")
    files = "NAME_mask.nii.gz, NAME_prob.nii.gz" + (" and NAME_brain.nii.gz" if card.model.brain else "")
    return f"""# insula {card.name}

Stroke lesions on T1-weighted MRI. **{_NOTICE}** Trained on {trained}.

    pip install insula monai pytorch-ignite fire
    python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json --bundle_root . \\
        --dataset_dir SCANS --output_dir RESULTS

SCANS is a folder of .nii or .nii.gz files; each gets {files} on its own grid. Threshold, smallest lesion and
calibration are those of models/{card.name}.json. Exported with Python {platform.python_version()}.
"""


def _version(name: str, otherwise: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return otherwise
