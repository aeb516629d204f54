"""`fer-edge log`: reads journals. Each action has a module of its own."""

from __future__ import annotations

from typing import Any

from fer_edge.commands import log_check, log_rows, log_summary, log_tail


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser("log", help="read a journal: labels, times without observation, reliability")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for module in (log_tail, log_rows, log_summary, log_check):
        module.register(actions)
