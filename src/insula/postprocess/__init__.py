"""From probabilities to a mask and its lesions."""

from insula.postprocess.decide import Lesion, decide, measure_lesions

__all__ = ["Lesion", "decide", "measure_lesions"]
