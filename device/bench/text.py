"""A benchmark's report as text tables, and as one block to paste that the owner of a board can share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from device.bench.benchmark import FAR_FRAME_PX, FAR_SCENE, BenchReport
from device.bench.board_estimates import Estimate, board_model_name, published_sources
from device.bench.network_timing import NetworkTimes
from device.bench.stage_timing import FPS, SceneTimes
from device.bench.throttling import Conditions
from device.bench.timing import CallTimes
from fer_edge.hardware import Board
from fer_edge.shipped_bundles import IN_CHECKOUT, SHIPPED

_SCENES = {
    "face": "a moving face",
    "still": "an empty, still scene",
    FAR_SCENE: f"--far, {FAR_FRAME_PX[0]}×{FAR_FRAME_PX[1]}",
}
_SUMMARY_ROWS: dict[str, Callable[[SceneTimes], str]] = {
    "total": lambda scene: _cell(scene.frame),
    "frames/s": lambda scene: f"{scene.frames_per_s:.1f}",
    "processor": lambda scene: f"{scene.cpu_ms:.2f} ms, {scene.share_at_fps:.0%} of a core at {FPS:g} frames/s",
    "available": lambda scene: f"{scene.cpu_share:.0%} of a core",
}


def report_text(report: BenchReport) -> str:
    """The report as text: measurements, their conditions, and estimates."""
    board = report.board
    counts = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in report.multiply_adds.items())
    packages = ", ".join(f"{name} {version}" for name, version in report.versions.items() if name != "fer-edge")
    lines = [
        f"fer-edge {report.versions['fer-edge']} on {_machine(board)}; {packages}",
        f"bundle {report.bundle}, detector {report.detector}; multiply-adds: {counts or 'unknown'}",
        *(f"MARKED: {mark}" for mark in report.conditions.marks),
        "",
        *_scenes(report),
        "",
        *_networks(report.networks),
        *(f"not measured: {entry.what}: {entry.why}" for entry in report.not_measured),
        "",
        _health(report.conditions),
    ]
    if report.estimates:
        lines += ["", *_estimates(report.estimates, board_model_name(board.name))]
    return "\n".join(lines)


def paste_block(report: BenchReport) -> str:
    """The report as one fenced block of JSON, without estimates and without details of a bundle of one's own.

    It has no name of the machine, its users or their folders, and no serial number.
    """
    fields = report.to_json()
    del fields["estimates"], fields["estimates_from"]
    if report.bundle not in (*SHIPPED, *IN_CHECKOUT):
        fields["bundle"] = {"name": "own"}
    fields["left_out"] = [entry["what"] for entry in fields["left_out"]]
    lines = ",\n".join(
        f" {json.dumps(key, allow_nan=False)}: {_one_line_per_item(value)}" for key, value in fields.items()
    )
    return "\n".join(["```json", "{", lines, "}", "```"])


def _one_line_per_item(value: Any) -> str:
    """JSON with one line for each item of a list of objects, so that it can be read before it is shared."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _machine(board: Board) -> str:
    memory = "" if board.memory_bytes is None else f", {board.memory_bytes / 2**20:,.0f} MB"
    mhz = "" if board.most_mhz is None else f" up to {board.most_mhz} MHz"
    governor = "" if board.governor is None else f" ({board.governor})"
    return f"{board.name}, {board.machine}, {board.cores} cores{mhz}{governor}{memory}, {board.system}"


def _scenes(report: BenchReport) -> Iterator[str]:
    width, height = report.frame_px
    scenes = report.scenes
    yield f"measured: the work on a frame of {width}×{height}, one thread, {report.runtime}; ms: p50 (p95)"
    heads = [f"{_SCENES[scene.scene]}, {scene.frames} frames" for scene in scenes]
    yield f"  {'':<12}" + "".join(f"{head:<42}" for head in heads).rstrip()
    names = dict.fromkeys(name for scene in scenes for name in scene.stages)
    for name in names:
        yield f"  {name:<12}" + "".join(f"{_cell(scene.stages.get(name)):<42}" for scene in scenes).rstrip()
    for name, of in _SUMMARY_ROWS.items():
        yield f"  {name:<12}" + "".join(f"{of(scene):<42}" for scene in scenes).rstrip()
    if memory := report.memory_bytes:
        yield "  memory: " + ", ".join(f"{name} {size / 2**20:.0f} MB" for name, size in memory.items())
    yield (
        f"  synced write of {report.batch_bytes:,} bytes to the journal, every half minute or less often: "
        f"{_cell(report.batch_writes)} ms"
    )


def _cell(times: CallTimes | None) -> str:
    return "" if times is None else f"{_ms(times.p50_ms)} ({_ms(times.p95_ms)})"


def _networks(rows: Sequence[NetworkTimes]) -> Iterator[str]:
    yield "measured: one call of each network, ms: p50 (p95)"
    for row in rows:
        cells = (
            f"{threads} thread{'s' if threads > 1 else ''}: {_cell(times)}" for threads, times in row.by_threads.items()
        )
        yield f"  {row.network}, {row.kind}, {row.runtime}  {'   '.join(cells)}"


def _health(measured: Conditions) -> str:
    throttled = {None: "unknown", True: ", ".join(measured.slowed or ()).replace("_", " "), False: "no"}
    degrees = "unknown" if measured.most_c is None else f"{measured.first_c:g} °C, at most {measured.most_c:g} °C"
    return (
        f"health at {measured.looks} readings: slowed down: {throttled[measured.throttled]}; temperature: {degrees}; "
        f"load before: {measured.load:.2f}"
    )


def _estimates(rows: Sequence[Estimate], here: str | None) -> Iterator[str]:
    networks = tuple(dict.fromkeys((row.network, row.kind) for row in rows))
    yield "ESTIMATE, not measured: ms by multiply-adds and published throughput, of the networks alone"
    yield (
        f"  {'board':<26}{'threads':<9}" + "".join(f"{f'{network}, {kind}':<30}" for network, kind in networks).rstrip()
    )
    for board, threads in dict.fromkeys((row.board, row.threads) for row in rows):
        cells = {(r.network, r.kind): r for r in rows if (r.board, r.threads) == (board, threads)}
        name = f"{board}{' (this board)' if board == here else ''}"
        spans = (f"{_ms(cells[key].low_ms)}–{_ms(cells[key].high_ms)}" for key in networks)
        yield f"  {name:<26}{threads:<9}" + "".join(f"{span:<30}" for span in spans).rstrip()
    yield f"  from: {'; '.join(published_sources())}"


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
