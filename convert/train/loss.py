"""What a batch of training is compared with, its loss and its accuracy; and the cross entropy of logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.train.presets import Recipe


@dataclass(frozen=True)
class TargetColumns:
    """What the columns of a batch's targets hold: soft labels, then votes and whether they count, then teachers' answers.

    `classes` is the number of classes, `votes` that of the second head's classes, 0 without one.
    """

    classes: int
    votes: int = 0
    teachers: bool = False

    @property
    def labels(self) -> slice:
        """Soft labels: probabilities of `classes`."""
        return slice(0, self.classes)

    @property
    def vote_shares(self) -> slice:
        """Each class's share of the votes."""
        return slice(self.classes, self.classes + self.votes)

    @property
    def votes_count(self) -> int:
        """The column that is 1 where an image has usable votes, else 0; between them for a blend of two images."""
        return self.classes + self.votes

    @property
    def answers(self) -> slice:
        """The teachers' mean probabilities of `classes` at the recipe's temperature."""
        return slice(self.width - self.classes, self.width)

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.classes + (self.votes + 1 if self.votes else 0) + (self.classes if self.teachers else 0)


def training_loss(columns: TargetColumns, recipe: Recipe) -> Any:
    """The loss of a batch, (B,), as a Keras function of targets (B, columns.width) and logits (B, classes + votes).

    Cross entropy with soft labels. With teachers, their cross entropy at the recipe's temperature has the recipe's share
    (Hinton et al. 2015, arXiv 1503.02531). With votes, the cross entropy of the second head is added with the recipe's
    weight, for images that have usable votes.
    """
    import keras

    def entropy(probabilities: Any, logits: Any) -> Any:
        return keras.ops.categorical_crossentropy(probabilities, logits, from_logits=True)

    def loss(targets: Any, logits: Any) -> Any:
        own = logits[:, : columns.classes]
        total = entropy(targets[:, columns.labels], own)
        if columns.teachers:
            temperature, share = recipe.temperature, recipe.teacher_share
            teacher_loss = entropy(targets[:, columns.answers], own / temperature)
            total = (1 - share) * total + share * temperature * temperature * teacher_loss
        if columns.votes:
            counts = keras.ops.cast(targets[:, columns.votes_count] > 0.99, "float32")
            votes_loss = entropy(targets[:, columns.vote_shares], logits[:, columns.classes :])
            total = total + recipe.votes_weight * counts * votes_loss
        return total

    return loss


def label_hits(classes: int) -> Any:
    """The Keras metric that is 1 where the largest logit is that of the label, else 0; its mean is the accuracy."""
    import keras

    def hits(targets: Any, logits: Any) -> Any:
        correct = keras.ops.argmax(targets[:, :classes], 1) == keras.ops.argmax(logits[:, :classes], 1)
        return keras.ops.cast(correct, "float32")

    return hits


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log p(true class) over float (N, classes) logits and int (N,) labels, in nats, computed in float64."""
    from scipy.special import log_softmax

    return -float(np.mean(log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y]))
