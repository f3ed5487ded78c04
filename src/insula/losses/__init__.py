"""What training minimises: functions on logits."""

from insula.losses.losses import LOSSES, compound, cross_entropy, dice, topk10

__all__ = ["LOSSES", "compound", "cross_entropy", "dice", "topk10"]
