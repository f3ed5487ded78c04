"""Training: a stream of real cases or simulated heads, a loop, and the resulting weights."""

from insula.train.case_stream import CaseStream
from insula.train.head_stream import HeadStream
from insula.train.loop import train
from insula.train.phases import Phased, measure_phases
from insula.train.stream import Batch, Stream
from insula.train.world import World

__all__ = ["Batch", "CaseStream", "HeadStream", "Phased", "Stream", "World", "measure_phases", "train"]
