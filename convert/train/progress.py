"""The progress of a training run on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from convert.progress_bar import progress_bar
from convert.train.history import EpochRecord

if TYPE_CHECKING:
    import keras


def validation_text(row: EpochRecord) -> str:
    """The validation accuracy of an epoch, and its score where it has one."""
    score = "" if row.val_score is None else f"  score {row.val_score:.4f}"
    return f"accuracy {row.val_accuracy:.4f}{score}"


class TrainingProgress:
    """A bar over the images of all remaining epochs, with the time left; one line per epoch where stderr is a file.

    Nothing is printed unless `shown`.
    """

    def __init__(self, epochs: int, images: int, batch: int, shown: bool = True) -> None:
        self.images, self.batch, self.shown = images, batch, shown
        self.bar = progress_bar(total=epochs * images, title="training", unit="img", leave=True, shown=shown)

    def callback(self) -> keras.callbacks.Callback:
        """The Keras callback that moves the bar during one epoch."""
        import keras

        bar, end = self.bar, self.bar.n + self.images
        batch_size = self.batch

        class _MoveBar(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                bar.update(min(batch_size, end - bar.n))

        return _MoveBar()

    def print_epoch(self, row: EpochRecord) -> None:
        """Prints an epoch's scores above the bar."""
        if not self.shown:
            return
        self.bar.write(
            f"epoch {row.epoch:>3}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}  "
            f"validation loss {row.val_loss:.4f}  {validation_text(row)}  {row.seconds:.0f} s",
            file=sys.stderr,
        )

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()
