"""The progress of long work on stderr: a bar with the time left on a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from fer_edge.console import notice

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

DELAY_S = 2.0  # work that takes less shows no bar
FILE_INTERVAL_S = 30.0  # between two lines in a file
FILE_DELAY_S = 10.0
_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {rate_fmt}, {remaining} left"
_LINE_WITHOUT_TOTAL = "{desc}: {n_fmt} {unit}, {rate_fmt}"


class _Lines:
    """A stream on which each state of a bar is a line of its own, instead of replacing the previous one."""

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            notice(line)

    def flush(self) -> None:
        """Nothing: each notice is flushed."""


def progress_bar(
    items: Iterable[T] | None = None,
    *,
    title: str,
    unit: str,
    total: int | None = None,
    leave: bool = False,
    shown: bool = True,
) -> tqdm[T]:
    """A bar over `items`, which yields them, or over `total` steps that the caller reports with `update`.

    `leave`: the bar stays when it ends. Without `shown` nothing is printed.
    """
    from tqdm import tqdm

    options: dict[str, Any] = {"desc": title, "unit": unit, "total": total, "leave": leave, "disable": not shown}
    if sys.stderr.isatty():
        return tqdm(items, delay=DELAY_S, mininterval=0.5, **options)
    known = total is not None or hasattr(items, "__len__")
    return tqdm(
        items,
        file=_Lines(),
        delay=FILE_DELAY_S,
        mininterval=FILE_INTERVAL_S,
        maxinterval=FILE_INTERVAL_S,
        bar_format=_LINE if known else _LINE_WITHOUT_TOTAL,
        **options,
    )
