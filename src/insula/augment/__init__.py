"""One case, many: drawn first, carried out on the training device after."""

from insula.augment.apply import Augmented, Augmenter, augment
from insula.augment.graft import Graft
from insula.augment.original import Original
from insula.augment.plan import Augmentation
from insula.augment.strip import brain_of

__all__ = ["Augmentation", "Augmented", "Augmenter", "Graft", "Original", "augment", "brain_of"]
