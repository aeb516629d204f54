"""The presets: recipes of training as data, recorded in each run's history."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.train.augmentation import NO_AUGMENTATION, Augmentation


@dataclass(frozen=True)
class Recipe:
    """The settings of training. Defaults: the published protocol (doi 10.55452/1998-6688-2026-23-1-163-172)."""

    epochs: int = 15
    batch: int = 256
    optimizer: str = "adam"  # or "nadam", "radam", or "sgd" with momentum .9
    nesterov: bool = True  # momentum, of "sgd"
    learning_rate: float = 1e-4
    # or "cosine": to zero over all epochs, after `warmup` epochs of a linear rise; or "plateau": a tenth after `patience`
    # epochs without a better validation accuracy (targets both: score), and not below `lowest_rate`
    schedule: str = "constant"
    warmup: float = 0.0
    patience: int = 0
    lowest_rate: float = 0.0
    weight_decay: float = 0.0  # subtracted each step, times learning rate and weight; kernels only
    label_smoothing: float = 0.0
    mixup: float = 0.0  # α of Beta(α, α)
    mixed_share: float = 1.0  # probability with which an image is blended with another one, with mixup
    unmixed_final_share: float = 0.0  # share of the epochs, the last ones, without mixup and erasing
    class_balance: float = 0.0  # a class's weight in the loss: its inverse share to this power; 1: full balance
    averaging: float = (
        0.0  # decay per step of the exponential average of the weights, which is validated and saved; 0: none
    )
    # (until this share of the epochs, px): progressive resizing, training starts on smaller images
    progressive_sides: tuple[tuple[float, int], ...] = ()
    augmentation: Augmentation = NO_AUGMENTATION
    teacher_share: float = 0.0  # share in the loss, with teachers (Hinton et al. 2015, arXiv 1503.02531)
    temperature: float = 1.0  # of teachers and student in the teachers' share of the loss
    teachers_see: str = "views"  # the augmented batches; or "images": each image and its mirror image, once
    # or "votes": the shares of the votes of people who labelled each image (`--votes`); or "both": half of each,
    # in the choice of the best epoch too
    targets: str = "labels"
    votes_weight: float = (
        0.0  # in the loss, of a second head that learns the votes beside the labels; 0: no second head
    )
    draws: int = 0  # epochs after which the same augmented views repeat, with teachers' cached answers; 0: never
    early_stopping: int = 0  # stops after so many epochs without a better validation accuracy or score; 0: never
    seed: int = 0

    def __post_init__(self) -> None:
        if self.progressive_sides and self.teacher_share and self.teachers_see == "views":
            raise ValueError("teachers take images of one size: with progressive_sides, teachers_see is images")

    def side(self, epoch: int) -> int | None:
        """The images' side in px in an epoch counted from 0; None: the data set's."""
        return next((px for share, px in self.progressive_sides if epoch < round(share * self.epochs)), None)

    def draw(self, epoch: int) -> int:
        """The number of the draw of augmented views in an epoch counted from 0."""
        return epoch % self.draws if self.draws else epoch

    def is_unmixed(self, epoch: int) -> bool:
        """Whether an epoch counted from 0 is one of the last ones, without mixup and erasing."""
        return epoch >= self.epochs - round(self.unmixed_final_share * self.epochs)


# The jitter that a detector's box leaves around the mapped square is .139 to .153 in scale and .052 to .065 in shift
# (standard deviations, convert.mapping); uniform to ±.28 and ±.1 has .162 and .058.
DEVICE_AUGMENTATION = Augmentation(
    flip=0.5, rotation=12, shift=0.1, scale=0.28, brightness=0.15, contrast=0.3, blur=0.2, erasing=0.25
)
# For an accelerator: students that see the answers of larger networks to each of their own views (Beyer et al. 2022, arXiv
# 2106.05237). `models/edge` and `models/large` were trained by it, in another framework (their history.json).
_DISTILLED = Recipe(
    epochs=144,
    batch=256,
    optimizer="sgd",
    learning_rate=0.15,
    schedule="cosine",
    warmup=3,
    weight_decay=5e-3,
    mixup=0.2,
    mixed_share=0.5,
    unmixed_final_share=0.15,
    averaging=0.998,
    augmentation=replace(
        DEVICE_AUGMENTATION, rotation=10, shift=0.08, scale=0.2, brightness=0.12, contrast=0.25, blur=0.2
    ),
    teacher_share=0.75,
    temperature=2.0,
)
# For a processor: fewer epochs, on smaller images at first, and teachers that see each image once
_SHORT = replace(
    _DISTILLED,
    epochs=84,
    batch=128,
    learning_rate=0.1,
    warmup=2,
    label_smoothing=0.1,
    mixup=0.1,
    mixed_share=1.0,
    progressive_sides=((0.2, 32), (0.45, 40)),
    augmentation=replace(DEVICE_AUGMENTATION, rotation=10, shift=0.08, scale=0.2),
    teacher_share=0.5,
    teachers_see="images",
)
_NANO_SHORT = replace(
    _SHORT,
    epochs=84,
    weight_decay=5e-4,
    label_smoothing=0.0,
    mixup=0.0,
    unmixed_final_share=0.0,
    class_balance=0.25,  # a network this small loses the recall of disgust, 1.5 % of the images, first
    progressive_sides=(),
    augmentation=replace(_SHORT.augmentation, brightness=0.1, contrast=0.2, blur=0.15, erasing=0.0),
    teacher_share=0.7,
    teachers_see="views",  # with "images" it memorizes the answers: train accuracy .70, PublicTest .658
    draws=12,
)
# For a trained network: views as a detector's boxes are, a wider range of scales and shifts than in _DISTILLED
_CROPS = replace(
    _DISTILLED,
    warmup=0.5,
    unmixed_final_share=0.25,
    augmentation=replace(DEVICE_AUGMENTATION, rotation=10, brightness=0.12, contrast=0.25),
)
PRESETS = {
    "paper": Recipe(),
    "edge": _DISTILLED,
    "large": _DISTILLED,
    "edge-votes": replace(_DISTILLED, targets="votes"),
    "edge-short": _SHORT,
    # starts from `edge` (--init) and learns from `edge` and `edge-votes` (--teacher), which were taught FER2013's labels and
    # FER+'s votes
    "edge-mixed": replace(
        _SHORT,
        epochs=12,
        learning_rate=0.02,
        warmup=0.5,
        label_smoothing=0.0,
        mixup=0.0,
        unmixed_final_share=0.0,
        progressive_sides=(),
        augmentation=replace(_DISTILLED.augmentation, erasing=0.0),
        teacher_share=0.75,
        teachers_see="views",
        draws=3,
        targets="both",
    ),
    # for a network that starts from a trained one of the same sizes (--init) and is distilled from it (--teacher): a born-again
    # network (Furlanello et al. 2018, arXiv 1805.04770), at full image size throughout
    "edge-again": replace(
        _SHORT,
        epochs=10,
        learning_rate=0.03,
        warmup=0.5,
        mixup=0.1,
        unmixed_final_share=0.4,
        progressive_sides=(),
    ),
    # starts from `edge` and learns from `large` (--init and --teacher). A processor with fast bfloat16 trains it in an hour
    "edge-crops": replace(_CROPS, epochs=36, learning_rate=0.06),
    # starts from `large` and learns from `large` and `edge`
    "large-crops": replace(_CROPS, epochs=12, learning_rate=0.03),
    "edge-mask": _DISTILLED,
    # for an accelerator: the teacher answers for new views in each epoch
    "nano": replace(_NANO_SHORT, epochs=300, batch=256, learning_rate=0.15, warmup=3, draws=0),
    "nano-short": _NANO_SHORT,
    "nano-5x5": _NANO_SHORT,
    "teacher": replace(
        _DISTILLED,
        epochs=113,
        warmup=2,
        label_smoothing=0.1,
        mixup=0.3,
        mixed_share=1.0,
        augmentation=replace(DEVICE_AUGMENTATION, scale=0.25, erasing=0.4),
        votes_weight=1.0,
    ),
    # as in its authors' script (ArnabKumarRoy02/ResEmoteNet, train_files); 1e-4 there is a share of the gradient, which
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
    # as in its authors' code (phamquiluan/ResidualMaskingNetwork)
    "rmn": Recipe(
        epochs=50,
        batch=48,
        optimizer="radam",
        schedule="plateau",
        patience=3,  # PyTorch's 2: it lowers the rate after one epoch more
        lowest_rate=1e-6,
        weight_decay=1e-3,
        augmentation=Augmentation(flip=0.5, rotation=30),
        early_stopping=8,
    ),
    "rmn-48": _DISTILLED,  # our recipe, so that what the masks are worth beside `edge` can be seen
    # as published; the augmentation is chosen here (adapted_residual.py)
    "adapted-residual": Recipe(
        epochs=100,
        batch=64,
        optimizer="nadam",
        learning_rate=1e-3,
        schedule="plateau",
        patience=15,
        lowest_rate=1e-7,
        class_balance=1.0,
        augmentation=Augmentation(flip=0.5, rotation=10, shift=0.1, scale=0.1),
        early_stopping=30,
    ),
}
