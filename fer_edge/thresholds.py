"""The temperature and the thresholds of a bundle: from which probability a label is reported."""

from __future__ import annotations

from typing import NamedTuple

from fer_edge.json_fields import JsonFields

TEMPERATURES = (0.05, 20.0)  # outside of these, every probability is 1 or 0, or all are alike


class StatedPrior(NamedTuple):
    """How often one label is assumed to occur, 0–1; the other labels share the rest as they do in the data."""

    label: str
    share: float

    @property
    def text(self) -> str:
        """The prior as a setting has it: neutral=0.3."""
        return f"{self.label}={self.share!r}"


class LabelThresholds(NamedTuple):
    """A threshold for each label: from that probability on, at least a share `right` of the images with the label are right.

    It holds with 90 % confidence, from validation images that are weighted so that `prior` holds; None: as they are. A label
    whose threshold is None is never reported.
    """

    right: float
    prior: StatedPrior | None
    below: dict[str, float | None]

    @staticmethod
    def read(fields: JsonFields, labels: tuple[str, ...]) -> LabelThresholds:
        """The object `labels` of the thresholds of a bundle with these labels."""
        prior = None
        if fields.has("prior"):
            found = fields.object("prior")
            prior = StatedPrior(found.text("label", labels), found.number("share", 0, 1))
        below = fields.object("below")
        read = {name: below.number_or_null(name, 0, 1) for name in labels}
        return LabelThresholds(fields.number("right", 0, 1), prior, read)


class Thresholds(NamedTuple):
    """`temperature` divides the logits before softmax; a label less probable than `unsure_below` is reported as unsure.

    `labels` are thresholds for each label, which then replace `unsure_below`; None: there are none. `is_default`: no data were
    fitted to, and `unsure_below` follows from the number of classes. `labels_from` is the rule of the labels that temperature
    and thresholds were fitted to, where these are not the data set's own.
    """

    temperature: float
    unsure_below: float
    labels: LabelThresholds | None = None
    is_default: bool | None = None  # None: fitted
    labels_from: str | None = None

    @staticmethod
    def default(classes: int) -> Thresholds:
        """The thresholds of a model without data to fit them on: halfway between a guess among `classes` and certainty."""
        return Thresholds(1.0, round((1 + 1 / classes) / 2, 2), is_default=True)

    @property
    def default_sentence(self) -> str | None:
        """That the threshold is a default, in words; None where it was fitted."""
        if not self.is_default:
            return None
        return f"from a probability of {self.unsure_below:.2f}, a default for this number of classes: no data were fitted to"

    @staticmethod
    def read(fields: JsonFields, labels: tuple[str, ...]) -> Thresholds:
        """The object `thresholds` of a bundle with these labels."""
        by_label = LabelThresholds.read(fields.object("labels"), labels) if fields.has("labels") else None
        is_default = fields.flag("is_default") if fields.has("is_default") else None
        labels_from = fields.text("labels_from") if fields.has("labels_from") else None
        temperature, below = fields.number("temperature", *TEMPERATURES), fields.number("unsure_below", 0, 1)
        return Thresholds(temperature, below, by_label, is_default, labels_from)
