"""One case, many: drawn first, carried out on the training device after."""

from insula.augment.apply import augment
from insula.augment.graft import Graft
from insula.augment.plan import Augmentation
from insula.augment.strip import brain_of

__all__ = ["Augmentation", "Graft", "augment", "brain_of"]
