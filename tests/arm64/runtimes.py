"""The arm64 configurations (user space, runtime, kernels) under test, and recording logits on one in an emulated process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.record_logits import RecordedLogits
from tests.arm64.sysroot import emulated, machine


@dataclass(frozen=True, slots=True)
class Configuration:
    """A runtime and its kernels in one of the user spaces of `sysroot.SPACES`."""

    space: str
    runtime: str
    kernels: str

    @property
    def name(self) -> str:
        """As files and tests are called: “bookworm-litert-default”."""
        return f"{self.space}-{self.runtime}-{self.kernels}"


# trixie's wheel of LiteRT is another file than bookworm's: another Python, run on another processor
CONFIGURATIONS = (
    Configuration("bookworm", "litert", "default"),
    Configuration("trixie", "litert", "default"),
    Configuration("bookworm", "litert", "builtin"),
    Configuration("bookworm", "litert", "reference"),
    Configuration("bookworm", "tflite-runtime", "default"),
)


def record_logits_on(configuration: Configuration, model: Path, images: Path, out: Path) -> RecordedLogits:
    """The logits of `model` (a bundle's folder or a .tflite file) for `images` (.npy) on `configuration`, written to `out`.

    Raises FerEdgeError with what the emulated process said when it failed.
    """
    command = ["-m", "fer_edge.record_logits", model, "--images", images, "--out", out]
    ran = emulated(
        machine(configuration.space), *command, "--runtime", configuration.runtime, "--kernels", configuration.kernels
    )
    if ran.returncode != 0:
        raise FerEdgeError(f"{configuration.name} ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}")
    return RecordedLogits.load(out)
