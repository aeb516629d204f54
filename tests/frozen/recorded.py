"""What `fer-edge run` and `fer-edge label` tell of stored pictures: `python -m tests.frozen.recorded --check` or `--write`.

--check exits 0 only when every number is the one that was stored, on the machine that stored them. The recordings are read
as fast as they are processed and by their own time, so that nothing but the start of the run depends on the clock.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.frozen.commands import FIXTURES, ran
from tests.frozen.normalise import (
    EXACT,
    LINE_ROOM_EXACT,
    SIDECAR_VARIES,
    differences,
    keys,
    kinds,
    lines,
    masked,
    read,
    write,
)
from tests.frozen.scenes import all_that_happens, one_by_one, write_pictures, write_video

JOURNAL, TABLE, LIVE = (FIXTURES / f"{name}.json" for name in ("journal", "table", "live"))


def journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run over pictures of all that happens, one of them broken, each face of each frame among them."""
    pictures = write_pictures(folder / "pictures", all_that_happens(), broken=15)
    words = ["fer-edge", "run", "--camera", str(pictures), "--per-frame", "--hold", "0.4"]
    return _logged([*words, "--bundle", "models/edge"], folder)


def live(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run of two seconds on the drawn face, at the pace of a camera."""
    words = ["fer-edge", "run", "--camera", "synthetic", "--duration", "2", "--per-frame", "--hold", "0.1"]
    return _logged([*words, "--bundle", "models/nano"], folder)


def _logged(words: list[str], folder: Path) -> list[dict[str, Any]]:
    ended = ran([*words, "--log", str(folder / "log")], folder)
    assert ended.returncode == 0, ended.stderr
    (segment,) = (folder / "log").glob("*.jsonl")
    return [json.loads(line) for line in segment.read_text(encoding="utf-8").splitlines()]


def shape(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What of a live run does not hang on its pace: which kinds of lines in which order, and the fields of each kind.

    Episodes end when the face has changed, a tally stands where a minute ends, `health` and `clock` where the machine
    changes: these four have no place in the order. A reading has `why` only where it is unsure.
    """
    ordered = [event for event in events if event["kind"] not in ("episode", "tally", "health", "clock")]
    fields: dict[str, set[str]] = {}
    for event in events:
        if event["kind"] not in ("health", "clock"):
            fields.setdefault(event["kind"], set()).update(keys(event) - {"why"})
    return {"kinds": kinds(ordered), "fields": {kind: sorted(names) for kind, names in sorted(fields.items())}}


def table(folder: Path) -> dict[str, Any]:
    """The rows of `fer-edge label` of a video of eight faces, and the file beside them."""
    video = write_video(folder / "faces.avi", one_by_one())
    ended = ran(["fer-edge", "label", str(video), "--bundle", "models/edge", "--out", str(folder / "out")], folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{folder / 'out' / 'faces.avi.csv'}\n"
    with (folder / "out" / "faces.avi.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    beside = read(folder / "out" / "faces.avi.csv.json")
    return {
        "columns": header,
        "rows": [[_cell(cell) for cell in row] for row in rows],
        "files": sorted(p.name for p in (folder / "out").iterdir()),
        "beside": masked(beside, SIDECAR_VARIES),
    }


def _cell(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def unequal(folder: Path) -> Iterator[str]:
    """Each difference of journal and table from what was stored, to the last digit that is written."""
    (folder / "journal").mkdir()
    (folder / "table").mkdir()
    yield from differences(read(JOURNAL), lines(journal(folder / "journal")), LINE_ROOM_EXACT)
    yield from differences(read(TABLE), table(folder / "table"), EXACT)


def main() -> int:
    """0 when all is identical or was stored, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.frozen.recorded", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="exit 0 only when all is identical")
    what.add_argument("--write", action="store_true", help="store what this commit makes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.check:
            found = list(unequal(Path(folder)))
            print("\n".join(found) or "identical")
            return 1 if found else 0
        for name in ("journal", "table", "live"):
            (Path(folder) / name).mkdir()
        write(JOURNAL, lines(journal(Path(folder) / "journal")))
        write(TABLE, table(Path(folder) / "table"))
        write(LIVE, shape(live(Path(folder) / "live")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
