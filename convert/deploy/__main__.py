"""`python -m convert.deploy USER@HOST`: the same as `fer-edge deploy`."""

from __future__ import annotations

import sys

from fer_edge.cli import main

if __name__ == "__main__":
    sys.exit(main(["deploy", *sys.argv[1:]]))
