"""Boxes and squares in a frame, and their overlap."""

from __future__ import annotations

Box = tuple[float, float, float, float]  # left, top, width, height in px
Square = tuple[int, int, int]  # left, top, side in px; may reach beyond the frame

SAME_FACE_IOU = 0.3  # two boxes that overlap by more are one face, as in MediaPipe


def intersection_over_union(a: Box, b: Box) -> float:
    """The area that two boxes share over the area that they cover together, 0–1."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def square_iou(a: Square, b: Square) -> float:
    """The same of two squares."""
    return intersection_over_union((a[0], a[1], a[2], a[2]), (b[0], b[1], b[2], b[2]))
