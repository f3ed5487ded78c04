"""Which kind of image it is: only T1w is what the weights were taught."""

from insula.contrast.judge import check_contrast, judge_image
from insula.contrast.kinds import NAMES, Kind
from insula.contrast.labels import refuse_labels
from insula.contrast.look import coarse
from insula.contrast.network import KindNetwork, bundled

__all__ = ["NAMES", "Kind", "KindNetwork", "bundled", "check_contrast", "coarse", "judge_image", "refuse_labels"]
