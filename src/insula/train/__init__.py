"""Training: a stream of simulated heads, a loop, a set of weights."""

from insula.train.loop import train
from insula.train.stream import Batch, HeadStream

__all__ = ["Batch", "HeadStream", "train"]
