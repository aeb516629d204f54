"""The loss and the accuracy of training, and the cross entropy of logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.train.presets import Recipe


def distillation_loss(classes: int, recipe: Recipe) -> Any:
    """The loss of a batch as a Keras function of targets (B, classes or 2 · classes) and logits (B, classes).

    Cross entropy with soft labels. Where the targets hold a teacher's probabilities too, behind the labels, their cross
    entropy at the recipe's temperature has the recipe's share (Hinton et al. 2015, arXiv 1503.02531).
    """
    import keras

    def loss(targets: Any, logits: Any) -> Any:
        label_loss = keras.ops.categorical_crossentropy(targets[:, :classes], logits, from_logits=True)
        if targets.shape[1] == classes:
            return label_loss
        temperature, share = recipe.temperature, recipe.teacher_share
        teacher_loss = keras.ops.categorical_crossentropy(targets[:, classes:], logits / temperature, from_logits=True)
        return (1 - share) * label_loss + share * temperature * temperature * teacher_loss

    return loss


def label_hits(classes: int) -> Any:
    """The Keras metric that is 1 where the largest logit is that of the label, else 0; its mean is the accuracy."""
    import keras

    def hits(targets: Any, logits: Any) -> Any:
        correct = keras.ops.argmax(targets[:, :classes], 1) == keras.ops.argmax(logits, 1)
        return keras.ops.cast(correct, "float32")

    return hits


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log p(true class) over float (N, classes) logits and int (N,) labels, in nats, computed in float64."""
    from scipy.special import log_softmax

    return -float(np.mean(log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y]))
