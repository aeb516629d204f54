"""Which part of a camera's picture is looked at, and which way up: turned first, then mirrored, then cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device.config import Region, Settings

if TYPE_CHECKING:
    import numpy as np

_WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Framing:
    """A turn clockwise (0, 90, 180, 270), a mirroring (none, horizontal, vertical, both) and a region of the upright result.

    `region` is x, y, width, height in shares of the turned and mirrored picture, so that it stays in place when a camera
    gives another size than it was asked for, or changes it. All that follows, boxes too, is in px of the framed picture.
    """

    rotate_deg: int = 0
    flip: str = "none"
    region: Region | None = None

    @staticmethod
    def of(settings: Settings) -> Framing:
        """The framing that `settings` ask for."""
        return Framing(settings.rotate_deg, settings.flip, settings.region)

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return self != Framing(region=self.region) or (self.region or _WHOLE) != _WHOLE

    def apply(self, gray: np.ndarray) -> np.ndarray:
        """The framed picture of `gray`, uint8 (H, W): uint8 (h, w), at least 1 px each way, rows one after the other.

        Without anything to do it is `gray` itself. Cut before it is turned, which touches only what is kept.
        """
        if not self:
            return gray
        import cv2
        import numpy as np

        x, y, width, height = self.source_xywh(gray.shape[1], gray.shape[0])
        part = gray[y : y + height, x : x + width]
        if self.rotate_deg:
            turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
            part = cv2.rotate(part, turns[self.rotate_deg])
        if self.flip != "none":
            part = cv2.flip(part, {"horizontal": 1, "vertical": 0, "both": -1}[self.flip])
        return np.ascontiguousarray(part)

    def source_xywh(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """The part of the camera's own picture, of that size, that is looked at: x, y, width, height in its px."""
        x, y, width, height = self.region or _WHOLE
        # Undone in the opposite order: first the mirroring, then the turn.
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

    def describe(self) -> dict[str, Any]:
        """What the journal says of it; empty when it changes nothing."""
        if not self:
            return {}
        return {"rotate_deg": self.rotate_deg, "flip": self.flip, "region": list(self.region or _WHOLE)}


def _span(start: float, length: float, size_px: int) -> tuple[int, int]:
    first = min(max(round(start * size_px), 0), size_px - 1)
    return first, max(first + 1, min(round((start + length) * size_px), size_px))
