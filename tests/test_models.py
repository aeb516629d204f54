"""What the released models were asked to reach, read from the reports that were committed with them.

A target that is not reached yet is a strict expected failure: it is listed at the end of `make test`, and the line goes when
the model passes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).parents[1] / "models"


def read(name: str) -> dict[str, Any]:
    """A model's row in the comparison with the peers, on PrivateTest."""
    told = json.loads((MODELS / "peers" / "peers.json").read_text())
    entries: dict[str, Any] = {entry["name"]: entry for entry in told["entries"]}
    return {**entries[name], **entries[name]["standings"]["test"], "entries": told["entries"]}


def best_peer(row: dict[str, Any]) -> float:
    return max(e["standings"]["test"]["accuracy"]["value"] for e in row["entries"] if not e["ours"])


Check = Callable[[dict[str, Any]], bool]
TARGETS: dict[str, tuple[str, Check]] = {
    "edge: at most 1.7 MB": ("edge", lambda r: r["bytes"] <= 1_700_000),
    "edge: at most 200 M multiply-adds": ("edge", lambda r: r["multiply_adds"] <= 200e6),
    "edge: accuracy 70.0 %": ("edge", lambda r: r["accuracy"]["value"] >= 0.700),
    "edge: macro AUC .925": ("edge", lambda r: r["macro_auc"]["value"] >= 0.925),
    "edge: weakest recall 45 %": ("edge", lambda r: r["weakest_recall"]["value"] >= 0.45),
    "edge: time at most 1.3 of fer's": ("edge", lambda r: r["latency"]["ratio"] <= 1.3),
    "edge: three points above every peer": ("edge", lambda r: r["accuracy"]["value"] >= best_peer(r) + 0.03),
    "nano: at most 93,000 bytes": ("nano", lambda r: r["bytes"] <= 93_000),
    "nano: at most 30 M multiply-adds": ("nano", lambda r: r["multiply_adds"] <= 30e6),
    "nano: accuracy 66.6 %": ("nano", lambda r: r["accuracy"]["value"] >= 0.666),
    "nano: macro AUC .915": ("nano", lambda r: r["macro_auc"]["value"] >= 0.915),
    "nano: weakest recall 40 %": ("nano", lambda r: r["weakest_recall"]["value"] >= 0.40),
    "nano: time at most half of fer's": ("nano", lambda r: r["latency"]["ratio"] <= 0.5),
}
# One seed and one short training each on two cores; longer ones are to follow. The time was taken on a processor without AMX,
# on which multiply-adds count for more than on the one that the target was set on: edge wants half of them.
NOT_YET = {
    "edge: time at most 1.3 of fer's",
    "edge: accuracy 70.0 %",
    "edge: macro AUC .925",
    "edge: weakest recall 45 %",
    "edge: three points above every peer",
    "nano: at most 93,000 bytes",
    "nano: accuracy 66.6 %",
    "nano: macro AUC .915",
    "nano: weakest recall 40 %",
}


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason="trained too briefly so far"))
        if name in NOT_YET
        else name
        for name in TARGETS
    ],
)
def test_a_released_model_reaches(target: str) -> None:
    name, reached = TARGETS[target]
    assert reached(read(name))
