"""How far logits lie from other logits of the same crops, in steps of the output."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """The largest difference and the RMS, in output steps, and by how much the slope differs from 1.

    The slope is the regression of one set on the other, each row without its mean: a scale that is off by 5 % gives 0.05.
    """

    steps: float
    rms_steps: float
    slope: float

    def exceeds(self, limit: LogitDifference) -> bool:
        """Whether any of the three is greater than the limit's, or not a number."""
        return not all(value <= bound for value, bound in zip(astuple(self), astuple(limit), strict=True))

    def largest(self, other: LogitDifference) -> LogitDifference:
        """The larger of each of the three."""
        return LogitDifference(*(max(pair) for pair in zip(astuple(self), astuple(other), strict=True)))

    def at_most(self, other: LogitDifference) -> LogitDifference:
        """The smaller of each of the three."""
        return LogitDifference(*(min(pair) for pair in zip(astuple(self), astuple(other), strict=True)))

    def plus(self, other: LogitDifference) -> LogitDifference:
        """The sum of each of the three."""
        return LogitDifference(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


# Far more than two runtimes of one of our models differ; a bundle that allows more proves nothing. Runtimes of a model of
# others may differ by more: the difference is recorded as it was measured, and no more than this is allowed.
LARGEST_DIFFERENCE = LogitDifference(steps=32.0, rms_steps=8.0, slope=0.25)
