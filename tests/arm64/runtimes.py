"""Which runtime, kernels and user space make a column of arm64 answers, and how one is made in an emulated process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.record_logits import RecordedLogits
from tests.arm64.sysroot import emulated, machine


@dataclass(frozen=True, slots=True)
class Arm64:
    """A runtime and its kernels in one of the user spaces of `sysroot.SPACES`."""

    space: str
    runtime: str
    kernels: str

    @property
    def name(self) -> str:
        """As files and tests are called: “bookworm-litert-default”."""
        return f"{self.space}-{self.runtime}-{self.kernels}"


# trixie's wheel of LiteRT is another file than bookworm's: another Python, run on another processor
COLUMNS = (
    Arm64("bookworm", "litert", "default"),
    Arm64("trixie", "litert", "default"),
    Arm64("bookworm", "litert", "builtin"),
    Arm64("bookworm", "litert", "reference"),
    Arm64("bookworm", "tflite-runtime", "default"),
)


def answers_on(column: Arm64, model: Path, images: Path, out: Path) -> RecordedLogits:
    """What `model` (a bundle's folder or a .tflite file) answers to the .npy file `images` on `column`, kept in `out`.

    Raises FerEdgeError with what the emulated process said when it failed.
    """
    command = ["-m", "fer_edge.record_logits", model, "--images", images, "--out", out]
    ran = emulated(machine(column.space), *command, "--runtime", column.runtime, "--kernels", column.kernels)
    if ran.returncode != 0:
        raise FerEdgeError(f"{column.name} ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}")
    return RecordedLogits.load(out)
