"""The comparison of a model with its float model, on labelled held-out images or on synthetic ones, runtime by runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from convert.data.class_selection import NAME_FOLDERS
from convert.data.loader import load, remarks
from convert.data.samples import HELD_OUT_PARTS, Samples, held_out
from convert.evaluate.confidence_calibration import ConfidenceCalibration, calibrate_confidence
from convert.evaluate.label_thresholds import DEFAULT_PRIOR
from convert.evaluate.plausibility import doubts
from convert.evaluate.prior_argument import check_prior
from convert.parity.differences import LogitDifference, PartDifference
from convert.parity.float_reference import least_probability, reference_for
from convert.parity.paired_comparison import compare_logits, compare_part, curves_of_both
from convert.parity.parity_report import FEW_HELD_OUT, Curves, ParityReport, RuntimeParity, worst_runtime
from convert.parity.runtime_logits import RuntimeLogits, logits_of, measured_elsewhere, measured_here
from convert.parity.tolerances import Margins
from convert.parity.verdict import verdict_on_faces, verdict_on_logits
from convert.quantize.synthetic_images import FILE_NAME, SyntheticImages
from convert.sources.opened_model import OpenedModel, open_bundle, open_float_of_bundle
from convert.tflite.op_versions import CLAIMED
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier
from fer_edge.console import notice
from fer_edge.errors import NotEnoughData, UsageError
from fer_edge.thresholds import StatedPrior

FEWEST = 100  # held-out images below which accuracy is not judged
SYNTHETIC = "synthetic images that were not calibrated on"


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """What a model is calibrated, converted and compared with."""

    data: Path | None = None  # any data set; without one parity is judged on logits alone
    claimed: tuple[str, ...] = CLAIMED  # the runtimes, of convert.versions, that must have every operator
    runtimes: str = "usual"  # which runtimes of this host are compared: a key of runtime_logits.SETS
    margins: Margins | None = None  # the defaults where None
    seed: int = 0
    threads: int = 1  # for the comparison; the model file is the same
    keep_float: tuple[str, ...] = ()  # layers that stay in float, by the names of convert.layers
    votes: Path | None = None  # table of FER+ votes, whose majority is the label of each image of `data`
    round_by_error: bool = False  # weights rounded by the error of their layer's output (quantize.weight_rounding)
    refine_ranges: bool = False  # by the error of the logits (quantize.range_refinement)
    recorded: tuple[Path, ...] = ()  # files of `fer_edge.record_logits`: runtimes of other machines
    prior: StatedPrior | None = DEFAULT_PRIOR  # for the thresholds of the labels; None: the shares of the data
    is_prior_given: bool = False  # by the user: refused where it cannot hold

    def samples(self, side: int, labels: tuple[str, ...], remedy: str = NAME_FOLDERS) -> Samples | None:
        """The data set with images of `side` px, its remarks printed on stderr; None without one.

        `remedy` is that of `load`. Raises UsageError for a given prior that cannot hold for its validation part.
        """
        if self.data is None:
            if self.votes:
                raise UsageError("--votes labels the images of a data set; name the set with --data")
            return None
        samples = load(self.data, side, classes=labels, votes=self.votes, remedy=remedy)
        for remark in remarks(samples):
            notice(remark)
        check_prior(self.prior, self.is_prior_given, samples)
        return samples


def missing_held_out(samples: Samples) -> str | None:
    """A sentence on how many held-out images are missing for a verdict on accuracy; None where there are FEWEST.

    Raises NotEnoughData when there are none: then there is nothing to compare on.
    """
    n = sum(len(samples.part(part).y) for part in HELD_OUT_PARTS)
    if n >= FEWEST:
        return None
    if not n:
        raise NotEnoughData(
            "the set has no validation and no test images to compare on; put some pictures of each class into"
            " validation/ or test/, or leave out --data"
        )
    return (
        f"accuracy is not judged: that takes {FEWEST} held-out images, the validation and test parts hold {n}, so"
        f" {FEWEST - n} are missing; the logits are judged"
    )


def print_missing_held_out(samples: Samples | None) -> None:
    """Prints `missing_held_out` on stderr, before minutes of work. Raises NotEnoughData as it does."""
    if samples is not None and (missing := missing_held_out(samples)):
        notice(missing)


def compare(
    float_model: OpenedModel,
    model: OpenedModel,
    samples: Samples | None,
    synthetic: SyntheticImages | None,
    options: ConversionOptions,
) -> ParityReport:
    """The parity report of `model` against its float model: on held-out samples, or on synthetic images where None."""
    notice("comparing with the float model")
    classifier = model.classifier(threads=options.threads)
    reference = reference_for(float_model, classifier, options.threads)
    tiny = least_probability(classifier)
    labels = model.source.labels

    def measured(images: np.ndarray) -> Iterator[RuntimeLogits]:
        on = partial(model.classifier, threads=options.threads)
        yield from measured_here(on, images, options.runtimes)
        yield from measured_elsewhere(options.recorded, model.content, images)

    if samples is not None and missing_held_out(samples) is None:
        runtimes = measured(held_out(samples)[0])
        report = compare_on_samples(reference, runtimes, samples, labels, options.margins, options.prior, tiny)
    else:
        if samples is not None:
            images, what = held_out(samples)[0], FEW_HELD_OUT
        else:
            assert synthetic is not None, "made where there are no data"
            images, what = synthetic.check, SYNTHETIC
        report = compare_on_logits(reference, measured(images), images, labels, options.margins, tiny, what)
    if tiny is None:
        return report
    unseen = f"differences between probabilities under {tiny:.3g}, which count as that on both sides"
    return replace(report, not_measured=[*report.not_measured, unseen])


def compare_on_samples(
    float_model: Classifier,
    runtimes: Iterable[RuntimeLogits],
    samples: Samples,
    labels: tuple[str, ...],
    margins: Margins | None = None,
    prior: StatedPrior | None = DEFAULT_PRIOR,
    least: float | None = None,
) -> ParityReport:
    """The report on the validation and the test part, each alone and both together.

    `runtimes` hold logits of `held_out(samples)`; the first is the one that the device uses, and the thresholds are fitted
    on its logits as they are. For the comparison none is below the logarithm of the probability `least`. Raises NotEnoughData
    when both parts together have fewer than FEWEST images.
    """
    margins = margins or Margins.load()
    images, y, part = held_out(samples)
    if len(y) < FEWEST:
        raise NotEnoughData(
            f"accuracy takes {FEWEST} held-out images; the validation and test parts hold {len(y)} images"
        )
    float_logits = logits_of(float_model, images, "float")
    names = [name for name in HELD_OUT_PARTS if name in part]
    rows = list(runtimes)
    parts, judged = {}, {}
    for row in rows:
        int8_logits = _not_below(least, row.logits)
        parts[row.name] = {
            name: compare_part(float_logits[part == name], int8_logits[part == name], y[part == name], labels, margins)
            for name in names
        }
        together = compare_part(float_logits, int8_logits, y, labels, margins)
        parts[row.name]["together"] = together
        logits = compare_logits(" and ".join(names), float_logits, int8_logits, margins.logits_rms)
        verdict, failures, undecided = verdict_on_faces(logits, together, margins)
        judged[row.name] = RuntimeParity(row.ran_on, verdict, failures, undecided, logits, together)
    first = rows[0].logits
    calibrated = calibrate_confidence(
        {p: first[part == p] for p in names}, {p: y[part == p] for p in names}, labels, prior, samples.labels_from
    )
    worst = worst_runtime(judged)
    drawn = curves_of_both(float_logits, _not_below(least, {row.name: row.logits for row in rows}[worst]), y, labels)
    return _report(
        judged,
        parts[worst],
        labels,
        margins,
        confidence=calibrated,
        curves=drawn,
        doubtful=doubts(float_logits, y, labels),
    )


def compare_on_logits(
    float_model: Classifier,
    runtimes: Iterable[RuntimeLogits],
    images: np.ndarray,
    labels: tuple[str, ...],
    margins: Margins | None = None,
    least: float | None = None,
    what: str = SYNTHETIC,
) -> ParityReport:
    """The report on images uint8 (N, side, side): labels and logits of both models; accuracy is not judged.

    `what` says which images they are: synthetic ones, or held-out ones that are too few to judge accuracy on. The runtimes'
    logits are compared with none below the logarithm of the probability `least`.
    """
    margins = margins or Margins.load()
    float_logits = logits_of(float_model, images, "float")
    judged = {}
    for row in runtimes:
        logits = compare_logits(
            what,
            float_logits,
            _not_below(least, row.logits),
            margins.logits_rms,
        )
        verdict, failures, undecided = verdict_on_logits(logits, margins)
        judged[row.name] = RuntimeParity(row.ran_on, verdict, failures, undecided, logits, None)
    not_measured = ["accuracy", "AUC", "any figure per class"]
    not_measured += ["agreement on faces"] if what == SYNTHETIC else []
    return _report(judged, {}, labels, margins, not_measured=not_measured)


def _not_below(least: float | None, logits: np.ndarray) -> np.ndarray:
    """The logits, none below the logarithm of the probability `least`."""
    return logits if least is None else np.maximum(logits, np.log(np.float32(least)))


def _report(
    judged: dict[str, RuntimeParity],
    parts: dict[str, PartDifference],
    labels: tuple[str, ...],
    margins: Margins,
    *,
    not_measured: Sequence[str] = (),
    confidence: ConfidenceCalibration | None = None,
    curves: Curves | None = None,
    doubtful: tuple[str, ...] | None = None,
) -> ParityReport:
    name = worst_runtime(judged)
    worst = judged[name]
    logits: LogitDifference = worst.logits
    return ParityReport(
        verdict=worst.verdict,
        failures=worst.failures,
        undecided=worst.undecided,
        runtime=name,
        logits=logits,
        parts=parts,
        runtimes=judged,
        labels=list(labels),
        margins=margins,
        not_measured=list(not_measured),
        confidence=confidence,
        curves=curves,
        doubts=doubtful,
    )


def compare_bundle(bundle: Bundle, options: ConversionOptions) -> ParityReport:
    """The parity report of a bundle that holds its float model.

    Raises UsageError when it holds none, NotEnoughData when there is neither a data set nor synthetic images.
    """
    float_model = open_float_of_bundle(bundle)
    samples = options.samples(bundle.side, bundle.labels)
    print_missing_held_out(samples)
    beside = bundle.path / FILE_NAME
    if samples is None and not beside.is_file():
        raise NotEnoughData(
            f"{bundle.path} holds no {FILE_NAME}, and no --data was given: there is nothing to compare on"
        )
    synthetic = SyntheticImages.load(beside, float_model.source.path) if samples is None else None
    return compare(float_model, open_bundle(bundle), samples, synthetic, options)
