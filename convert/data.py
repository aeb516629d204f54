"""`python -m convert.data PATH`: what a data set of facial expressions holds; `load` gives it as arrays."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from convert.arguments import whole_number
from convert.containers import opened
from convert.pictures import PARTS, Picture, pictures
from convert.split import complete
from fer_edge.errors import DataError, UsageError, guarded
from fer_edge.labels import LABELS

SKIPPED_SHARE = 0.01  # a set with more unreadable images than this is not read


@dataclass(frozen=True)
class Samples:
    """The images of a data set as a model takes them, with their labels, parts and origin.

    A few images that could not be read are in `skipped`, each with its name and fault; images of classes outside the
    seven are counted in `left_out` by the name of their class; `split_rule` says where the parts come from.
    """

    x: np.ndarray  # uint8 (N, H, W, 1), gray 0–255
    y: np.ndarray  # int64 (N,), index into `labels`
    split: np.ndarray  # numpy strings (N,), each one of PARTS
    source: tuple[str, ...]  # N names: the file in the set, or `file.csv:line`
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    split_rule: str = ""
    form: str = ""  # what was read: "zip with class folders"
    labels: ClassVar[tuple[str, ...]] = LABELS

    def __post_init__(self) -> None:
        count = len(self.source)
        assert self.x.dtype == np.uint8 and self.x.ndim == 4 and self.x.shape[3] == 1, (self.x.dtype, self.x.shape)
        assert self.y.dtype == np.int64 and len(self.x) == len(self.y) == len(self.split) == count

    def part(self, name: str) -> Samples:
        """The images of one part, in their order; perhaps none."""
        if name not in PARTS:
            raise UsageError(f"{name!r} is no part of a data set; the parts are {', '.join(PARTS)}")
        return self.take(np.flatnonzero(self.split == name))

    def take(self, rows: np.ndarray) -> Samples:
        """The images at `rows`, int (M,), in that order."""
        source = tuple(self.source[row] for row in rows)
        return replace(self, x=self.x[rows], y=self.y[rows], split=self.split[rows], source=source)

    def groups(self) -> np.ndarray:
        """For each image the number of the first one with the same pixels: int64 (N,)."""
        return _groups(self.x)


def load(path: Path, side: int = 48, seed: int = 0) -> Samples:
    """The data set at `path`, every image as (side, side), in order of file names or rows.

    Read without being told which: FER2013 in each of its forms, and any folder or zip with a folder of images for each
    class. `seed` draws the parts that the set does not name (`convert.split`). Raises DataError, with the file and the
    row, when it is no data set, is damaged, or when more than 1 % of its images cannot be read.
    """
    path = Path(path)
    pixels = bytearray()  # grows by itself, and numpy takes it as it is
    y: list[int] = []
    named: list[str] = []
    source: list[str] = []
    left_out: Counter[str] = Counter()
    skipped: list[str] = []
    with opened(path) as files:
        found, total, form = pictures(files, side)
        for picture in _progress(found, total, path):
            if picture.fault:
                skipped.append(f"{picture.source}: {picture.fault}")
            elif picture.label is None or picture.pixels is None:
                left_out[picture.class_name] += 1
            else:
                pixels += picture.pixels
                y.append(LABELS.index(picture.label))
                named.append(picture.part)
                source.append(picture.source)
    if len(skipped) > SKIPPED_SHARE * (len(y) + len(skipped)):
        some = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise DataError(f"{len(skipped):,} of {len(y) + len(skipped):,} images in {path} cannot be read: {some}")
    if not y:
        classes = ", ".join(sorted(left_out)[:8]) or "none at all"
        raise DataError(f"{path} holds no image of {', '.join(LABELS)}; its classes are {classes}")
    x = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 1)
    labels = np.array(y, np.int64)
    split, rule = complete(np.array(named, dtype="<U10"), labels, _groups(x), seed)
    return Samples(x, labels, split, tuple(source), dict(sorted(left_out.items())), tuple(skipped), rule, form)


def also_in(samples: Samples, part: str, other: str) -> np.ndarray:
    """Which images of `samples.part(part)` have the pixels of an image of `other`: bool (M,), in the part's order."""
    groups = samples.groups()
    return np.isin(groups[samples.split == part], groups[samples.split == other])


def remarks(samples: Samples) -> list[str]:
    """What a user should be told of how a set was read: what was skipped, left out, drawn, or is missing."""
    said = []
    if samples.skipped:
        names = "; ".join(samples.skipped[:10]) + ("; …" if len(samples.skipped) > 10 else "")
        said.append(f"{len(samples.skipped):,} skipped that cannot be read: {names}")
    if samples.left_out:
        classes = ", ".join(f"{name} {count:,}" for name, count in samples.left_out.items())
        said.append(f"left out, for they are none of the seven classes: {classes}")
    if missing := [label for i, label in enumerate(LABELS) if not np.any(samples.y == i)]:
        said.append(f"no image of {', '.join(missing)}")
    if samples.split_rule and samples.split_rule != "as the set names them":
        said.append(f"parts: {samples.split_rule}")
    return said


def _groups(x: np.ndarray) -> np.ndarray:
    first: dict[bytes, int] = {}
    keys = (hashlib.blake2b(image, digest_size=16).digest() for image in x)
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)


def _progress(found: Iterator[Picture], total: int, path: Path) -> Iterable[Picture]:
    """The same pictures, with a bar on a terminal once they take longer than two seconds."""
    if not sys.stderr.isatty():
        return found
    from tqdm import tqdm

    bar: Iterable[Picture] = tqdm(found, total=total or None, desc=path.name, unit="img", delay=2, leave=False)
    return bar


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments and describes the set on stdout."""
    parser = argparse.ArgumentParser(prog="python -m convert.data", description=__doc__)
    parser.add_argument("path", type=Path, help="a zip, a folder, a CSV, or one of them packed")
    parser.add_argument("--json", action="store_true", help="everything counted, as JSON")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="write samples of each class as a picture")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="draws parts that the set does not name, and the sheet"
    )
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from convert.describe import describe, text, write_sheet

    if args.sheet and args.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet writes PNG; {args.sheet} does not end in .png")
    samples = load(args.path, seed=args.seed)
    for remark in remarks(samples):
        print(f"fer-edge: {remark}", file=sys.stderr)
    description = describe(samples)
    print(json.dumps(description, indent=1) if args.json else text(description))
    if args.sheet:
        write_sheet(samples, args.sheet, seed=args.seed)
        print(f"fer-edge: samples in {args.sheet}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
