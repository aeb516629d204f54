"""The terms on which a model is taken into a bundle: the data, the runtimes, the margins."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.data.loader import load, remarks
from convert.data.samples import Samples, held_out
from convert.parity.backends import Column, brought, here
from convert.parity.parity_report import ParityReport, on_data, without_data
from convert.parity.tolerances import Margins
from convert.quantize.synthetic_images import STAND_IN, StandIn
from convert.sources.float_model import Float, least
from convert.tflite.op_versions import CLAIMED
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier, Runtime
from fer_edge.errors import NotEnoughData


@dataclass(frozen=True, slots=True)
class Terms:
    """What a model is calibrated and judged on."""

    data: Path | None = None  # any data set; without one parity is judged on logits alone
    claimed: tuple[str, ...] = CLAIMED  # the runtimes, of convert.versions, that must have every operator
    columns: str = "usual"  # which runtimes and kernel paths of this host are compared: of convert.parity.backends.SETS
    margins: Margins | None = None  # the defaults where None
    seed: int = 0
    threads: int = 1  # for the comparison; the file is the same
    keep_float: tuple[str, ...] = ()  # layers left in float, by the names of convert.layers
    answers: tuple[Path, ...] = ()  # of `fer_edge.record_logits`, more columns of the file that is compared

    def samples(self, side: int, labels: tuple[str, ...]) -> Samples | None:
        """The data set with images of `side` px, its remarks said on stderr; None without one."""
        if self.data is None:
            return None
        samples = load(self.data, side, classes=labels)
        for remark in remarks(samples):
            print(remark, file=sys.stderr)
        return samples

    def compare(
        self,
        float_model: Float,
        model: Classifier,
        content: bytes,
        samples: Samples | None,
        stand_in: StandIn | None,
        labels: tuple[str, ...],
    ) -> ParityReport:
        """The report on the file `content`, which `model` runs, against its float model: on the data or on stand-in images."""
        print("comparing with the float model", file=sys.stderr)
        theirs, tiny = float_model.against(model), least(model)

        def making(runtime: Runtime | None, kernels: str) -> Classifier:
            return Classifier(content, runtime, self.threads, kernels, model.input_range, model.output_kind, tiny)

        def measured(images: np.ndarray) -> Iterator[Column]:
            yield from here(making, images, self.columns)
            yield from brought(self.answers, content, images)

        if samples is not None:
            report = on_data(theirs, measured(held_out(samples)[0]), samples, labels, self.margins)
        else:
            assert stand_in is not None, "made where there are no data"
            report = without_data(theirs, measured(stand_in.check), stand_in.check, labels, self.margins)
        if tiny is None:
            return report
        blind = f"differences between probabilities under {tiny:.3g}, which count as that on both sides"
        return replace(report, not_measured=[*report.not_measured, blind])


def check(
    bundle: Bundle,
    data: Path | None,
    threads: int = 1,
    columns: str = "usual",
    answers: Sequence[Path] = (),
    margins: Margins | None = None,
) -> ParityReport:
    """The parity report of a bundle that holds its float model. Raises UsageError when it does not."""
    # here, not above: they read this module for their own reports
    from convert.parity.comparison import Terms
    from convert.sources.float_model import Float

    terms = Terms(data, columns=columns, margins=margins, threads=threads, answers=tuple(answers))
    float_model = Float.of_bundle(bundle, threads)
    samples = terms.samples(bundle.side, bundle.labels)
    beside = bundle.path / STAND_IN
    if samples is None and not beside.is_file():
        raise NotEnoughData(
            f"{bundle.path} holds no {STAND_IN}, and no --data was given: there is nothing to compare on"
        )
    stand_in = StandIn.load(beside, float_model.file) if samples is None else None
    model = bundle.make_classifier(threads=threads)
    return terms.compare(float_model, model, bundle.model.read_bytes(), samples, stand_in, bundle.labels)
