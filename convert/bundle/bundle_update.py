"""A bundle with some of its files written anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convert.parity.parity_report import ParityReport
from convert.report.model_card import card
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle, file_entries, replaced_folder
from fer_edge.bundle_spec import BundleSpec


def update_bundle(folder: Path, change: Callable[[Path, BundleSpec], BundleSpec]) -> Bundle:
    """The bundle in `folder` after a change: replaced whole, with the other files in its folder, or left as it was.

    `change` gets a copy of the folder, in which it may write files, and the spec, and returns the new spec; sizes and hashes
    of the files are added to it. Raises BundleRefused when the bundle cannot be read, before or after.
    """
    bundle = Bundle.load(folder)
    with replaced_folder(bundle.path) as fresh:
        shutil.copytree(bundle.path, fresh, dirs_exist_ok=True)
        spec = replace(change(fresh, bundle.spec), files=file_entries(fresh))
        write_spec(fresh, spec)
        Bundle.load(fresh)
    return Bundle.load(folder)


def write_spec(folder: Path, spec: BundleSpec) -> None:
    """Writes bundle.json into a bundle's folder."""
    (folder / "bundle.json").write_text(json.dumps(spec.to_json(), indent=1) + "\n")


def record(bundle: Bundle, report: ParityReport) -> None:
    """Puts a parity report into a bundle and replaces the one it has: parity.json, CARD.md and the runtimes it claims."""
    values, history = report.to_json(), bundle.path / "history.json"

    def change(fresh: Path, spec: BundleSpec) -> BundleSpec:
        spec = replace(spec, runtimes=report.runtimes())
        (fresh / "parity.json").write_text(json.dumps(values, indent=1) + "\n")
        run = TrainingHistory.read(history) if history.is_file() else None
        (fresh / "CARD.md").write_text(card(spec, values, run))
        return spec

    update_bundle(bundle.path, change)
