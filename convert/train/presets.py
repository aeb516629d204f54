"""How each preset is trained: the recipe as data, so that a run's history tells all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.train.augmentation import NONE, Augmentation


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Defaults: the published protocol (doi 10.55452/1998-6688-2026-23-1-163-172)."""

    epochs: int = 15
    batch: int = 256
    optimizer: str = "adam"  # or "sgd", with momentum .9
    nesterov: bool = True  # of "sgd"
    learning_rate: float = 1e-4
    schedule: str = "constant"  # or "cosine": to zero over all epochs, after `warmup` epochs of a linear rise
    warmup: float = 0.0
    weight_decay: float = 0.0  # times the learning rate and the weight, each step; kernels only
    label_smoothing: float = 0.0
    mixup: float = 0.0  # α of Beta(α, α)
    calm: float = 0.0  # the last share of the epochs, without mixup and erasing
    class_balance: float = 0.0  # a class's weight in the loss is its inverse share to this power; 1 balances in full
    averaging: float = 0.0  # decay a step of an exponential average of all weights, which is what is kept; 0: none
    sides: tuple[tuple[float, int], ...] = ()  # (up to this share of the epochs, px): begins on smaller images
    augmentation: Augmentation = NONE
    teacher_share: float = 0.0  # of the loss, where there are teachers (Hinton et al. 2015, arXiv 1503.02531)
    temperature: float = 1.0  # of teachers and student in that share
    teachers_see: str = "views"  # each batch as augmented; or "images": each image and its mirror image, once
    draws: int = 0  # epochs after which the same views come again, a teacher's answers to them known by then; 0: never
    early_stopping: int = 0  # epochs without a better validation accuracy before it stops; 0: never
    seed: int = 0

    def side(self, epoch: int) -> int | None:
        """The images' side in px in an epoch counted from 0; None: their own."""
        return next((px for share, px in self.sides if epoch < round(share * self.epochs)), None)

    def draw(self, epoch: int) -> int:
        """Which draw of views an epoch counted from 0 shows."""
        return epoch % self.draws if self.draws else epoch

    def is_calm(self, epoch: int) -> bool:
        """Whether an epoch counted from 0 is one of the last, without mixup and erasing."""
        return epoch >= self.epochs - round(self.calm * self.epochs)


# The jitter that a detector's box leaves around the mapped square is .139 to .153 in scale and .052 to .065 in shift
# (standard deviations, convert.mapping); uniform to ±.28 and ±.1 has .162 and .058.
SEEN_ON_A_DEVICE = Augmentation(
    flip=0.5, rotation=12, shift=0.1, scale=0.28, brightness=0.15, contrast=0.3, blur=0.2, erasing=0.25
)
_EDGE = Recipe(
    epochs=84,
    batch=128,
    optimizer="sgd",
    learning_rate=0.1,
    schedule="cosine",
    warmup=2,
    weight_decay=5e-3,
    label_smoothing=0.1,
    mixup=0.1,
    calm=0.15,
    averaging=0.998,
    sides=((0.2, 32), (0.45, 40)),
    augmentation=replace(SEEN_ON_A_DEVICE, rotation=10, shift=0.08, scale=0.2),
    teacher_share=0.5,
    temperature=2.0,
    teachers_see="images",
)
RECIPES = {
    "paper": Recipe(),
    "edge": _EDGE,
    # for a network that begins from one of its own kind (--init) and learns from its answers (--teacher): born again
    # (Furlanello et al. 2018, arXiv 1805.04770), at full size throughout
    "edge-again": replace(
        _EDGE,
        epochs=10,
        learning_rate=0.03,
        warmup=0.5,
        mixup=0.1,
        calm=0.4,
        sides=(),
    ),
    "nano": replace(
        _EDGE,
        epochs=84,
        weight_decay=5e-4,
        label_smoothing=0.0,
        mixup=0.0,
        calm=0.0,
        class_balance=0.25,  # disgust, 1.5 % of the images, is what so small a network gives up first
        sides=(),
        augmentation=replace(_EDGE.augmentation, brightness=0.1, contrast=0.2, blur=0.15, erasing=0.0),
        teacher_share=0.7,
        teachers_see="views",  # told once an image, it learns the answers by heart: train accuracy .70, PublicTest .658
        draws=12,
    ),
    "teacher": replace(_EDGE, epochs=120, mixup=0.4, sides=()),
    # as its authors' script has it (ArnabKumarRoy02/ResEmoteNet, train_files); 1e-4 there is a gradient's share, which
    # momentum multiplies by ten
    "resemotenet": Recipe(
        epochs=80,
        batch=16,
        optimizer="sgd",
        nesterov=False,
        learning_rate=1e-3,
        weight_decay=1e-3,
        augmentation=Augmentation(flip=0.5),
        early_stopping=15,
    ),
}
