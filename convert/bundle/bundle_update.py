"""A bundle with some of its files written again: replaced whole, or left as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fer_edge
from convert.parity.parity_report import FILE_NAME
from convert.parity.reports import Report
from convert.report.model_card import bundle_card
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import file_entries, is_of_bundle, refuse_from_inside, replaced_folder
from fer_edge.bundle_spec import BundleSpec, RuntimeClaim
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import bundle_folder


def require_own_copy(path: Path) -> None:
    """Raises UsageError when `path` names a bundle that comes with the package: a command may not change it there. Also as
    `refuse_from_inside`, before the work.

    A folder of a checkout is changed when its path is given, not when the name alone is.
    """
    folder = bundle_folder(path)
    refuse_from_inside(folder)
    if folder != path or folder.resolve().is_relative_to(Path(fer_edge.__file__).parent):
        raise UsageError(
            f"{path} is a bundle that comes with fer-edge, and this command would change it: copy {folder}, and name the copy"
        )


def update_bundle(folder: Path, change: Callable[[Path, BundleSpec], BundleSpec]) -> Bundle:
    """The bundle in `folder` after a change: replaced whole, with the other files in its folder, or left as it was.

    `change` gets a copy of the folder, in which it may write files, and the spec, and returns the new spec; sizes and hashes
    of the files are added to it. Raises BundleRefused when the bundle cannot be read, before or after.
    """
    bundle = Bundle.load(folder)
    with replaced_folder(bundle.path) as fresh:
        for name in (found.name for found in bundle.path.iterdir() if is_of_bundle(found.name) and found.is_file()):
            shutil.copy2(bundle.path / name, fresh / name)
        spec = replace(change(fresh, bundle.spec), files=file_entries(fresh))
        write_spec(fresh, spec)
        Bundle.load(fresh)
    return Bundle.load(folder)


def write_spec(folder: Path, spec: BundleSpec) -> None:
    """Writes bundle.json into a bundle's folder."""
    (folder / "bundle.json").write_text(json.dumps(spec.to_json(), indent=1, allow_nan=False) + "\n")


def write_report_into(bundle: Bundle, report: Report, train_counts: dict[str, int] | None = None) -> None:
    """Replaces a bundle's report: parity.json, CARD.md and the runtimes it claims; and `train_counts` where they are given.

    Temperature and thresholds become those of the report, where it was made on data; otherwise they stay.
    """

    def change(fresh: Path, spec: BundleSpec) -> BundleSpec:
        thresholds = report.confidence.thresholds if report.confidence else spec.thresholds
        counts = train_counts or spec.provenance.train_counts
        provenance = replace(spec.provenance, train_counts=counts)
        spec = replace(spec, runtimes=runtime_claims(report), thresholds=thresholds, provenance=provenance)
        history = fresh / "history.json"
        (fresh / FILE_NAME).write_text(json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")
        training = TrainingHistory.read(history) if history.is_file() else None
        (fresh / "CARD.md").write_text(bundle_card(spec, report, training))
        return spec

    update_bundle(bundle.path, change)


def runtime_claims(report: Report) -> tuple[RuntimeClaim, ...]:
    """The runtimes that bundle.json claims: each one of the report, its verdict, and its agreement with float."""
    return tuple(
        RuntimeClaim(r.runtime, r.version, r.kernels, r.machine, verdict, agreement)
        for r, verdict, agreement in report.measured_runtimes
    )
