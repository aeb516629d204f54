"""`python -m convert.report REPORT.json|BUNDLE`: the evaluation report again, or a bundle's parity as an HTML page."""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from convert import figures, published
from convert.checkpoint import write_beside
from convert.cost import Cost
from convert.markdown import markdown
from convert.scores import Curves, Scores
from fer_edge.bundle import SHIPPED, Bundle
from fer_edge.errors import UsageError, guarded

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated, and on what it ran. `sha256` and `file_bytes` are of the file named `file`."""

    name: str
    kind: str  # "bundle", "tflite", "keras, as float TFLite"
    file: str
    file_bytes: int
    sha256: str
    dtypes: tuple[str, ...]  # of the operators that ran: int8 and int32, or float32
    runtime: str
    kernels: str
    preprocess: str


@dataclass(frozen=True, slots=True)
class Data:
    """The set it was evaluated on. `counts` is of all parts, `sha256` of its pixels, labels and parts."""

    name: str
    form: str
    part: str  # train, validation, test, or all
    split_rule: str
    counts: dict[str, int]
    sha256: str
    seed: int  # drew the parts that the set does not name
    left_out: dict[str, int]
    skipped: int

    @property
    def is_fer2013(self) -> bool:
        """Whether the parts have the sizes of FER2013's."""
        return self.counts == published.FER2013


@dataclass(frozen=True, slots=True)
class Report:
    """All that an evaluation found. `unseen` leaves out the images that also stand in the training part."""

    subject: Subject
    data: Data
    scores: Scores
    unseen: Scores | None
    unseen_why: str  # what was left out, or why nothing was
    curves: Curves
    cost: Cost
    history: dict[str, Any] | None  # of the training: epochs and best_epoch
    bootstrap: dict[str, int]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, six decimals, the normalised confusion matrices beside the counted ones."""
        values = {"format": FORMAT, **asdict(self)}
        for name, scores in (("scores", self.scores), ("unseen", self.unseen)):
            if scores:
                values[name]["confusion_normalised"] = scores.normalised()
                values[name]["absent"] = scores.absent
        return typing.cast(dict[str, Any], _rounded(values))

    @staticmethod
    def load(path: Path) -> Report:
        """The report in a JSON file. Raises UsageError when there is none in it."""
        try:
            values = json.loads(path.read_text())
            if values["format"] != FORMAT:
                raise UsageError(f"{path} has report format {values['format']}; this version reads {FORMAT}")
            return typing.cast(Report, _read(Report, values))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no report of `python -m convert.evaluate`: {error!r}") from error

    def files(self) -> dict[str, bytes]:
        """The report's files by name: report.json, report.md, and a PNG for each figure there are values for."""
        values = self.to_json()
        kept: Report = _read(Report, values)  # drawn from what report.json holds, so that it can be drawn again
        drawn = {}
        if kept.history:
            drawn["figure-2-training.png"] = figures.training(kept.history["epochs"], kept.history["best_epoch"])
        drawn["figure-3-confusion.png"] = figures.confusion(kept.scores)
        drawn["figure-4-roc.png"] = figures.roc(kept.scores, kept.curves)
        text = markdown(kept) + "".join(f"\n![{name[9:-4]}]({name})\n" for name in drawn)
        return {"report.json": (json.dumps(values, indent=1) + "\n").encode(), "report.md": text.encode(), **drawn}


def write(report: Report, folder: Path) -> list[Path]:
    """The files of a report, written into a folder that may hold others: all are made first, then put in place."""
    made = report.files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (folder / f".{name}.partial").write_bytes(content)
        for name in made:
            (folder / f".{name}.partial").replace(folder / name)
    except OSError as error:
        for name in made:
            with suppress(OSError):
                (folder / f".{name}.partial").unlink()
        raise UsageError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return [folder / name for name in made]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value


def _read(kind: Any, value: Any) -> Any:
    """`value`, as JSON gave it, as the annotated type `kind`."""
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: _read(hints[f.name], value[f.name]) for f in fields(kind)})  # type: ignore[operator]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        return tuple(_read(arguments[0], v) for v in value)
    if origin is dict:
        return {k: _read(arguments[1], v) for k, v in value.items()}
    return value


def main(argv: list[str] | None = None) -> int:
    """Prints an evaluation that was written before as Markdown, or writes a bundle's page; nothing is evaluated anew."""
    parser = argparse.ArgumentParser(prog="python -m convert.report", description=main.__doc__)
    parser.add_argument("report", type=Path, help="a report.json of `python -m convert.evaluate`, or a bundle's folder")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="folder for an evaluation's files; the page's file, default: NAME.html"
    )
    args = parser.parse_args(argv)

    def run() -> int:
        if args.report.is_dir() or str(args.report) in SHIPPED:
            return _page(args.report, args.out)
        report = Report.load(args.report)
        print(markdown(report))
        for path in write(report, args.out) if args.out else ():
            print(f"fer-edge: {path}", file=sys.stderr)
        return 0

    return guarded(run)


def _page(folder: Path, out: Path | None) -> int:
    from convert.page import page

    bundle = Bundle.load(folder)
    path = out or Path(f"{bundle.name}.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; --out names the page's file")
    text = page(bundle)
    write_beside(path, lambda beside: Path(beside).write_text(text))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
