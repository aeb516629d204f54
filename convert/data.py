"""`python -m convert.data PATH`: what a data set of facial expressions holds; `load` gives it as arrays."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from convert.arguments import whole_number
from convert.classes import EXPRESSIONS, Classes, classes_argument
from convert.containers import opened
from convert.pictures import PARTS, Picture, pictures
from convert.split import complete
from fer_edge.errors import DataError, UsageError, guarded
from fer_edge.faces import DETECTORS
from fer_edge.labels import LABELS

SKIPPED_SHARE = 0.01  # a set with more unreadable images than this is not read


@dataclass(frozen=True)
class Samples:
    """The images of a data set as a model takes them, with their labels, parts and origin.

    A few images that could not be read are in `skipped`, each with its name and fault; images of classes not asked for
    are counted in `left_out` by the name of their class; `split_rule` says where the parts come from.
    """

    x: np.ndarray  # uint8 (N, H, W, 1), gray 0–255
    y: np.ndarray  # int64 (N,), index into `labels`
    split: np.ndarray  # numpy strings (N,), each one of PARTS
    source: tuple[str, ...]  # N names: the file in the set, or `file.csv:line`
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    split_rule: str = ""
    form: str = ""  # what was read: "zip with class folders"
    labels: tuple[str, ...] = LABELS  # K names of classes, in the order of `y` and of a model's outputs

    def __post_init__(self) -> None:
        count = len(self.source)
        assert self.x.dtype == np.uint8 and self.x.ndim == 4 and self.x.shape[3] == 1, (self.x.dtype, self.x.shape)
        assert self.y.dtype == np.int64 and len(self.x) == len(self.y) == len(self.split) == count
        assert not count or 0 <= self.y.min() <= self.y.max() < len(self.labels), (self.y.max(), self.labels)

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


def load(path: Path, side: int = 48, seed: int = 0, classes: str | Sequence[str] = EXPRESSIONS) -> Samples:
    """The data set at `path`, every image as (side, side), in order of file names or rows.

    Read without being told which: FER2013 in each of its forms, and any folder or zip with a folder of images for each
    class. `classes` (see `Classes.of`) is "expressions" for the seven in all their spellings, "own" for every class of
    the set under its own name, in alphabetical order, or the names of some in the order wanted. `seed` draws the parts
    that the set does not name (`convert.split`). Raises DataError, with the file and the row, when it is no data set, is
    damaged, has no two classes to tell apart, or when more than 1 % of its images cannot be read.
    """
    path = Path(path)
    wanted = Classes.of(classes)
    pixels = bytearray()  # grows by itself, and numpy takes it as it is
    found: list[str] = []
    named: list[str] = []
    source: list[str] = []
    left_out: Counter[str] = Counter()
    skipped: list[str] = []
    with opened(path) as files:
        shown, total, form = pictures(files, side, wanted)
        for picture in progress(shown, total, path):
            if picture.fault:
                skipped.append(f"{picture.source}: {picture.fault}")
            elif picture.label is None or picture.pixels is None:
                left_out[picture.class_name] += 1
            else:
                pixels += picture.pixels.tobytes()
                found.append(picture.label)
                named.append(picture.part)
                source.append(picture.source)
    if len(skipped) > SKIPPED_SHARE * (len(found) + len(skipped)):
        some = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise DataError(f"{len(skipped):,} of {len(found) + len(skipped):,} images in {path} cannot be read: {some}")
    labels = wanted.labels(found, left_out, path)
    x = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 1)
    numbers = {label: i for i, label in enumerate(labels)}
    y = np.array([numbers[label] for label in found], np.int64)
    split, rule = complete(np.array(named, dtype="<U10"), y, _groups(x), seed)
    return Samples(x, y, split, tuple(source), dict(sorted(left_out.items())), tuple(skipped), rule, form, labels)


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
        asked = "the seven classes" if samples.labels == LABELS else ", ".join(samples.labels)
        said.append(f"left out, for they are none of {asked}: {classes}")
    if missing := [label for i, label in enumerate(samples.labels) if not np.any(samples.y == i)]:
        said.append(f"no image of {', '.join(missing)}")
    if samples.split_rule and samples.split_rule != "as the set names them":
        said.append(f"parts: {samples.split_rule}")
    return said


def _groups(x: np.ndarray) -> np.ndarray:
    first: dict[bytes, int] = {}
    keys = (hashlib.blake2b(image, digest_size=16).digest() for image in x)
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)


def progress(found: Iterator[Picture], total: int, path: Path) -> Iterable[Picture]:
    """The same pictures, with a bar on a terminal once they take longer than two seconds."""
    if not sys.stderr.isatty():
        return found
    from tqdm import tqdm

    bar: Iterable[Picture] = tqdm(found, total=total or None, desc=path.name, unit="img", delay=2, leave=False)
    return bar


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments and describes the set on stdout, or writes its face crops and says what became of it."""
    parser = argparse.ArgumentParser(prog="python -m convert.data", description=__doc__)
    parser.add_argument("path", type=Path, help="a zip, a folder, a CSV, or one of them packed")
    parser.add_argument("--json", action="store_true", help="everything counted, as JSON")
    parser.add_argument(
        "--classes",
        type=classes_argument,
        default=EXPRESSIONS,
        metavar="NAME,NAME…|own",
        help="own: every class of the set under its own name; default: the seven expressions in all their spellings",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="write samples of each class as a picture")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="draws parts that the set does not name, and the sheet"
    )
    crop = parser.add_argument_group("own pictures", "faces cut out by the code that runs on the device")
    crop.add_argument("--crop", type=Path, metavar="OUT", help="write the largest face of each picture as a class tree")
    crop.add_argument("--detector", choices=DETECTORS, help="default: the best that is installed")
    crop.add_argument("--bundle", type=Path, help="whose crop and side to take; default: those of every new bundle")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from convert.describe import describe, text, write_sheet

    if args.crop:
        return _crop(args)
    if args.detector or args.bundle:
        raise UsageError("--detector and --bundle say how faces are cut out; name a folder for them with --crop")
    if args.sheet and args.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet writes PNG; {args.sheet} does not end in .png")
    samples = load(args.path, seed=args.seed, classes=args.classes)
    for remark in remarks(samples):
        print(f"fer-edge: {remark}", file=sys.stderr)
    description = describe(samples)
    print(json.dumps(description, indent=1) if args.json else text(description))
    if args.sheet:
        write_sheet(samples, args.sheet, seed=args.seed)
        print(f"fer-edge: samples in {args.sheet}", file=sys.stderr)
    return 0


def _crop(args: argparse.Namespace) -> int:
    from convert.crop import Cutter, text, write_crops

    if args.sheet:
        raise UsageError(
            f"--sheet shows a set that is read; write the crops, then `python -m convert.data {args.crop}`"
        )
    cropped = write_crops(args.path, args.crop, Cutter.of(args.detector, args.bundle), args.classes)
    for remark in cropped.remarks():
        print(f"fer-edge: {remark}", file=sys.stderr)
    print(json.dumps(cropped.to_json(), indent=1) if args.json else text(cropped))
    print(f"fer-edge: {cropped.total('found'):,} face crops in {args.crop}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
