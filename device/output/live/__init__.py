"""The live page: shows in a browser what a run sees now, served by the device itself. Disabled by default.

The loop passes immutable values (`view_state`); everything else, from their JSON to the last viewer, is done by one thread with
a server in it (`server`). No viewer can make the loop wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from device.clock import Clock
from device.config import Settings
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from device.output.live.sink import LivePage


def live_page(settings: Settings, clock: Clock, log: Callable[[str], None], storing: str = "") -> list[LivePage]:
    """The live page by the settings, a sink and a frame observer that is not open yet; an empty list without one.

    `log` receives the page's address; `storing` is shown to every viewer. Raises UsageError when the extra `live` is
    missing, the page would be open to a network without a token, or a setting of the page is given without `live`.
    """
    if settings.live is None:
        for name in ("live_token_file", "show_pixels_s"):
            if getattr(settings, name) is not None:
                raise UsageError(f"{name} belongs to the live page, which is not enabled; add --live")
        return []
    require_tornado("the live page")
    from device.output.live.sink import LivePage, page_options

    return [LivePage(replace(page_options(settings), storing=storing), clock, log)]


def require_tornado(page: str) -> None:
    """Raises UsageError when the server of `page` is not installed."""
    try:
        import tornado  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{page} needs the extra `live`: pip install 'fer-edge[live]'") from error
