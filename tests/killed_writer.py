"""A process that writes a journal and is killed at a random moment: what it forced to disk, and what the next start finds."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from device.clock import SystemClock
from device.output.journal.journal import Journal
from fer_edge.journal.segments import DamagedLine
from tests.journal_items import read_journal

ROOT = Path(__file__).parents[1]
BATCH = 100  # lines that the writer forces at once, at most
WRITER = f"""
import random, sys
from pathlib import Path
from device.clock import SystemClock
from device.output.journal.journal import Journal
from fer_edge.events import SCHEMA, Event

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
rng, clock = random.Random(seed), SystemClock()
with Journal(folder, clock, budget_bytes=64 << 20) as journal:
    journal.append(Event("header", 0, "b", 0.0, "2026-03-01T12:00:00.000Z", "synced", {{"schema": SCHEMA, "run": seed}}))
    print(0, flush=True)
    seq = 0
    while True:
        note = "x" * rng.choice([20, 2000, 60_000])  # a long write is likelier to be cut short
        for _ in range(rng.randrange(1, {BATCH})):
            seq += 1
            journal.append(Event("reading", seq, "b", float(seq), "2026-03-01T12:00:00.000Z", "synced", {{"note": note}}))
        journal.sync()
        print(seq, flush=True)
"""


@dataclass(frozen=True, slots=True)
class KilledWriter:
    """What a killed writer left in `folder`, after the next start repaired it."""

    safe: int  # lines that were forced to disk
    found: int  # lines from its first to the last that follow each other
    repairs: int  # incomplete last lines
    damaged: int  # unreadable lines after the repair
    disordered: bool  # whether lines are out of order

    def wrong(self) -> str:
        """What is wrong, as a sentence; empty when nothing is."""
        if self.found < self.safe:
            return f"of {self.safe} forced lines {self.found} are there"
        if self.found > self.safe + BATCH or self.repairs > 1:
            return f"{self.found} lines after {self.safe} forced ones, {self.repairs} repairs: more than the last batch"
        return (
            f"{self.damaged} damaged lines, out of order: {self.disordered}" if self.damaged or self.disordered else ""
        )


def kill_journal_writer(folder: Path, seed: int, after_s: float) -> KilledWriter:
    """What is left in `folder` of a writer that was killed `after_s` after its first line, after the next start repaired it."""
    command = [sys.executable, "-c", WRITER, str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        lines_printed = [writer.stdout.readline()]
        time.sleep(after_s)
        writer.kill()
        lines_printed += writer.stdout.readlines()
    assert writer.returncode == -9, "it ended by itself"
    safe = int([line for line in lines_printed if line.endswith("\n")][-1])
    with Journal(folder, SystemClock()) as journal:  # the next start
        repairs = len(journal.repairs)
    items = list(read_journal(folder))
    lines = [item.seq for item in items if not isinstance(item, DamagedLine) and "note" in item.body]
    damaged = sum(isinstance(item, DamagedLine) for item in items)
    return KilledWriter(safe, len(lines), repairs, damaged, lines != list(range(1, len(lines) + 1)))
