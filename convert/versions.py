"""`python -m convert.versions [--runtime NAME]`: lists the newest version of each operator in a runtime."""

from __future__ import annotations

import json
import sys

from convert.tflite.op_versions import newest_versions
from fer_edge.classifier import find_runtime
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Prints the operators of a runtime in the form of op_versions.json."""
    parser = CommandParser(prog="python -m convert.versions", description=__doc__)
    parser.add_argument("--runtime", help="litert, tflite-runtime or tensorflow ; default: the first installed")
    args = parser.parse_args(argv)

    def run() -> int:
        runtime = find_runtime(args.runtime)
        output(json.dumps({runtime.id: newest_versions(runtime)}, indent=1))
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
