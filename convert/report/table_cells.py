"""Cells of Markdown tables."""

from __future__ import annotations


def cell(text: str) -> str:
    """A text as the content of one cell: a class, a file or a part may have a name with the sign that ends a cell."""
    return text.replace("|", "\\|")
