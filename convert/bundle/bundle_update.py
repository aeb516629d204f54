"""A bundle with some of its files written anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convert.parity.parity_report import ParityReport
from convert.report.model_card import card
from fer_edge.bundle import Bundle, describe_files, replacing


@contextmanager
def rewritten(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of the bundle in `folder` and its bundle.json, both to be changed; put in place, hashes and all, at the end.

    The bundle is replaced whole, with what else lies in its folder, or left as it was. Raises BundleRefused when it cannot
    be read, before or after.
    """
    bundle = Bundle.load(folder)
    with replacing(bundle.path) as fresh:
        shutil.copytree(bundle.path, fresh, dirs_exist_ok=True)
        spec = dict(bundle.spec)
        spec.pop("files")
        yield fresh, spec
        spec["files"] = describe_files(fresh)
        (fresh / "bundle.json").write_text(json.dumps(spec, indent=1) + "\n")
        Bundle.load(fresh)


def record(bundle: Bundle, report: ParityReport) -> None:
    """Puts a report into a bundle, in the place of the one it has: parity.json, its card and the runtimes it claims."""
    from convert.bundle.bundle_update import rewritten

    told, history = report.to_json(), bundle.path / "history.json"
    with rewritten(bundle.path) as (fresh, spec):
        spec["runtimes"] = report.runtimes()
        (fresh / "parity.json").write_text(json.dumps(told, indent=1) + "\n")
        run = json.loads(history.read_text()) if history.is_file() else None
        (fresh / "CARD.md").write_text(card(spec, told, run))
