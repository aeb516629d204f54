"""The steps of a deploy, each with its seconds and its result: reported as it ends, and recorded for --json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class DeployStep:
    """One step: its name, its result in a few words, and its seconds once it has ended. `failed`: it raised an error."""

    name: str
    result: str = ""
    seconds: float = 0.0
    failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The step as JSON values."""
        return {"step": self.name, "seconds": round(self.seconds, 3), "result": self.result, "failed": self.failed}


@dataclass(slots=True)
class StepLog:
    """The steps so far. Each one is reported as a line when it ends without an error."""

    report: Callable[[str], None]
    steps: list[DeployStep] = field(default_factory=list)
    start_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str) -> Iterator[DeployStep]:
        """A new step, which ends with the block."""
        step = DeployStep(name)
        self.steps.append(step)
        start_s = time.monotonic()
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            step.seconds = time.monotonic() - start_s
            if not step.failed:
                self.report(f"{name:<12}{step.seconds:6.1f} s  {step.result}".rstrip())

    @property
    def seconds(self) -> float:
        """The seconds since the first step began."""
        return time.monotonic() - self.start_s
