"""Rotation, mirroring and cropping of a camera's picture, applied in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from device.config import Region, Settings

if TYPE_CHECKING:
    import numpy as np

_WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


class FramingBody(TypedDict):
    """A framing as the journal's header has it."""

    rotate_deg: int
    flip: str
    region: list[float]


@dataclass(frozen=True, slots=True)
class Framing:
    """A clockwise rotation (0, 90, 180, 270), a mirroring (none, horizontal, vertical, both) and a region of the result.

    `region` is x, y, width, height in shares of the rotated and mirrored picture, so that it is valid for every size that a
    camera may return. All later coordinates, boxes too, are px of the framed picture.
    """

    rotate_deg: int = 0
    flip: str = "none"
    region: Region | None = None

    @staticmethod
    def from_settings(settings: Settings) -> Framing:
        """The framing that `settings` specify."""
        return Framing(settings.rotate_deg, settings.flip, settings.region)

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return self != Framing(region=self.region) or (self.region or _WHOLE) != _WHOLE

    def apply(self, gray: np.ndarray) -> np.ndarray:
        """The framed picture of `gray`, uint8 (H, W): uint8 (h, w), contiguous, at least 1 px each way.

        It is `gray` itself when the framing changes nothing. The region is cut first, so that only its pixels are rotated.
        """
        if not self:
            return gray
        import cv2
        import numpy as np

        x, y, width, height = self.source_xywh(gray.shape[1], gray.shape[0])
        part = gray[y : y + height, x : x + width]
        if self.rotate_deg:
            rotations = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
            part = cv2.rotate(part, rotations[self.rotate_deg])
        if self.flip != "none":
            part = cv2.flip(part, {"horizontal": 1, "vertical": 0, "both": -1}[self.flip])
        return np.ascontiguousarray(part)

    def source_xywh(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """The framed part of a camera picture of that size: x, y, width, height in px of the camera's picture."""
        x, y, width, height = self.region or _WHOLE
        # The inverse operations in reverse order: first the mirroring, then the rotation.
        if self.flip in ("horizontal", "both"):
            x = 1 - x - width
        if self.flip in ("vertical", "both"):
            y = 1 - y - height
        if self.rotate_deg == 90:
            x, y, width, height = y, 1 - x - width, height, width
        elif self.rotate_deg == 180:
            x, y = 1 - x - width, 1 - y - height
        elif self.rotate_deg == 270:
            x, y, width, height = 1 - y - height, x, height, width
        left, right = _span(x, width, width_px)
        top, bottom = _span(y, height, height_px)
        return left, top, right - left, bottom - top

    def describe(self) -> FramingBody | None:
        """The framing for the journal; None when it changes nothing."""
        if not self:
            return None
        return {"rotate_deg": self.rotate_deg, "flip": self.flip, "region": list(self.region or _WHOLE)}


def _span(start: float, length: float, size_px: int) -> tuple[int, int]:
    first = min(max(round(start * size_px), 0), size_px - 1)
    return first, max(first + 1, min(round((start + length) * size_px), size_px))
