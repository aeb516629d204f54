"""The live page: what a run sees now, shown by the device itself to a browser. Off unless it is asked for.

The loop hands over values that never change again (`onlooker`); all else, from their JSON to the last viewer, is the work
of one thread with a server in it (`server`). Nobody who looks can make the loop wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from device.clock import Clock
from device.config import Settings
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from device.output.live.sink import LivePage


def live_page(settings: Settings, clock: Clock, say: Callable[[str], None]) -> list[LivePage]:
    """The live page that the settings ask for, a sink and a watcher not opened yet; none where they ask for none.

    `say` is told where the page is. Raises UsageError when the extra `live` is missing, the page would be open to a network
    without a token, or pictures are asked for without a page.
    """
    if settings.live is None:
        for name in ("live_token_file", "show_pixels_s"):
            if getattr(settings, name) is not None:
                raise UsageError(f"{name} is for the live page, and there is none; add --live")
        return []
    try:
        import tornado  # noqa: F401
    except ImportError as error:
        raise UsageError("the live page needs the extra `live`: pip install 'fer-edge[live]'") from error
    from device.output.live.sink import LivePage

    return [LivePage.of(settings, clock, say)]
