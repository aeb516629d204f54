"""The live page: shows in a browser what a run sees now, served by the device itself. Disabled by default.

The loop passes immutable values (`view_state`); everything else, from their JSON to the last viewer, is done by one thread with
a server in it (`server`). No viewer can make the loop wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from device.clock import Clock
from device.config import Settings
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from device.output.live.sink import LivePage


def live_page(settings: Settings, clock: Clock, log: Callable[[str], None]) -> list[LivePage]:
    """The live page by the settings, a sink and a frame observer that is not open yet; an empty list without one.

    `log` receives the page's address. Raises UsageError when the extra `live` is missing, the page would be open to a network
    without a token, or a setting of the page is given without `live`.
    """
    if settings.live is None:
        for name in ("live_token_file", "show_pixels_s"):
            if getattr(settings, name) is not None:
                raise UsageError(f"{name} belongs to the live page, which is not enabled; add --live")
        return []
    try:
        import tornado  # noqa: F401
    except ImportError as error:
        raise UsageError("the live page needs the extra `live`: pip install 'fer-edge[live]'") from error
    from device.output.live.sink import LivePage, page_options

    return [LivePage(page_options(settings), clock, log)]
