"""Recognition of the kind of image: the weights were trained on T1w only."""

from insula.contrast.judge import check_contrast, verdict_of
from insula.contrast.kinds import Kind
from insula.contrast.labels import refuse_labels
from insula.contrast.look import look_at
from insula.contrast.network import KindNetwork, bundled

__all__ = [
    "Kind",
    "KindNetwork",
    "bundled",
    "check_contrast",
    "look_at",
    "refuse_labels",
    "verdict_of",
]
