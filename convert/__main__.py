"""`python -m convert`: lists the commands of the host side, one per line."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import sys
from pathlib import Path

from fer_edge.console import output
from fer_edge.errors import exit_code_of


def commands() -> dict[str, str]:
    """What each `python -m convert.NAME` does, by NAME, from the first line of its docstring. Imports none of them."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        name = f"{__package__}.{module.name}" + (".__main__" if module.ispkg else "")
        spec = importlib.util.find_spec(name)
        if module.name == "__main__" or spec is None or spec.origin is None:
            continue
        first = (ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or "").split("\n")[0]
        if first.startswith("`python -m "):
            found[module.name] = first.partition("`: ")[2]
    return found


def main() -> int:
    """Prints the commands."""
    output("usage: python -m convert.NAME [--help]\n")
    for name, purpose in commands().items():
        output(f"  {name:17} {purpose}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
