"""The steps of a deploy as they go: each with its seconds and what came of it, shown as it ends and kept for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class DeployStep:
    """One step: its name, what came of it in a few words, and its seconds once it ended. `failed`: it raised an error."""

    name: str
    said: str = ""
    seconds: float = 0.0
    failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"step": self.name, "seconds": round(self.seconds, 3), "said": self.said, "failed": self.failed}


@dataclass(slots=True)
class StepLog:
    """Those taken so far; `say` is told of each one that ended."""

    say: Callable[[str], None]
    taken: list[DeployStep] = field(default_factory=list)
    begun_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str) -> Iterator[DeployStep]:
        """A step, which ends with the block."""
        one = DeployStep(name)
        self.taken.append(one)
        begun_s = time.monotonic()
        try:
            yield one
        except BaseException:
            one.failed = True
            raise
        finally:
            one.seconds = time.monotonic() - begun_s
            if not one.failed:
                self.say(f"{name:<12}{one.seconds:6.1f} s  {one.said}".rstrip())

    @property
    def seconds(self) -> float:
        """Since the first of them began."""
        return time.monotonic() - self.begun_s
