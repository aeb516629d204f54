"""Boxes and squares in a frame, and their overlap."""

from __future__ import annotations

Box = tuple[float, float, float, float]  # left, top, width, height in px
Square = tuple[int, int, int]  # left, top, side in px; may reach beyond the frame

SAME_FACE_IOU = 0.3  # two boxes that overlap by more are one face, as in MediaPipe


MAX_INSIDE = 0.75  # the share of a box's area within another from which on both are one face


def is_same_face(a: Box, b: Box) -> bool:
    """Whether two boxes are one face: they overlap by SAME_FACE_IOU, or one of them lies in the other, as a mouth does."""
    shared = _shared_area(a, b)
    areas = a[2] * a[3], b[2] * b[3]
    return shared > SAME_FACE_IOU * (sum(areas) - shared) or shared > MAX_INSIDE * min(areas)


def intersection_over_union(a: Box, b: Box) -> float:
    """The area that two boxes share over the area that they cover together, 0–1."""
    shared = _shared_area(a, b)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared) if shared else 0.0


def _shared_area(a: Box, b: Box) -> float:
    """The area that two boxes share, in px²."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, down)


def square_iou(a: Square, b: Square) -> float:
    """The same of two squares."""
    return intersection_over_union((a[0], a[1], a[2], a[2]), (b[0], b[1], b[2], b[2]))
