"""All knobs of insula, frozen and documented; this package does not import torch."""

from insula.config.adapt import AdaptConfig
from insula.config.augment import AugmentConfig
from insula.config.calibration import Calibration, Facts, Scaling
from insula.config.former import complete_model, complete_recipe
from insula.config.listen import ListenConfig
from insula.config.listing import knobs
from insula.config.models import AttentionUNet, MambaUNet, ModelConfig, PlainUNet, SEUNet, SwinUNet
from insula.config.prepare import PrepareConfig
from insula.config.ranges import check_recipe, names_files
from insula.config.recipe import Precision, Recipe, SimulateConfig, TrainConfig
from insula.config.segment import SegmentConfig
from insula.config.serve import ServeConfig, TokenConfig
from insula.config.slurm import SlurmConfig
from insula.config.toml import from_dict, load_knobs, load_recipe, to_dict

__all__ = [
    "AdaptConfig",
    "AttentionUNet",
    "AugmentConfig",
    "Calibration",
    "Facts",
    "ListenConfig",
    "MambaUNet",
    "ModelConfig",
    "PlainUNet",
    "Precision",
    "PrepareConfig",
    "Recipe",
    "SEUNet",
    "Scaling",
    "SegmentConfig",
    "ServeConfig",
    "SimulateConfig",
    "SlurmConfig",
    "SwinUNet",
    "TokenConfig",
    "TrainConfig",
    "check_recipe",
    "complete_model",
    "complete_recipe",
    "from_dict",
    "knobs",
    "load_knobs",
    "load_recipe",
    "names_files",
    "to_dict",
]
