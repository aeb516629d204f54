"""A reload: the settings are read again, checked as at the start, and given to the parts of a running loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from device.config import Settings, merge_reloaded
from device.output.event_bodies import settings_fields
from fer_edge.console import message
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from device.run_parts import RunParts


def reload_settings(parts: RunParts, before: Settings, apply: Callable[[Settings], None]) -> None:
    """Reads the settings again and applies those that may change during a run; invalid settings change nothing.

    `apply` gets the settings that replace `before`. What happened is a message, and so is a bundle that was replaced. Raises
    only what `apply` does, as BrokenPipeError of a sink.
    """
    try:
        if parts.read_settings is None:
            raise UsageError("there are no settings to read again")
        settings, later = merge_reloaded(before, parts.read_settings())
        _require_possible(parts, settings)
    except Exception as error:  # whatever is in a file that others write, the run goes on
        message(f"{_fault_text(error)}; nothing was changed")
        return
    parts.journal.set_limits(settings.sync_s, settings.budget_bytes, settings.keep_days)
    apply(settings)
    parts.observers.on_settings(settings)
    fields = settings_fields(settings, parts.pipeline.bundle)
    if fields != settings_fields(before, parts.pipeline.bundle):
        parts.journal.start_settings(fields)
    remark = f"; at the next start: {', '.join(later)}" if later else ""
    message(f"settings read again{remark}")
    _report_new_bundle(parts, before)


def _require_possible(parts: RunParts, settings: Settings) -> None:
    """Raises UsageError when the next start would refuse live settings, for the bundle or the detector in use."""
    from fer_edge.detection.registry import require_far_search

    parts.pipeline.require_prior(settings)
    if settings.far_px is not None:
        require_far_search(parts.pipeline.detector)


def _report_new_bundle(parts: RunParts, settings: Settings) -> None:
    from fer_edge.bundle import Bundle

    try:
        bundle = Bundle.load(settings.bundle)
    except Exception as error:  # as above
        message(f"{_fault_text(error)}; the bundle that was loaded stays in use")
        return
    if bundle.sha256 != parts.pipeline.bundle.sha256:
        message(f"{bundle.path} now holds another bundle; the loaded one stays in use until the next start")


def _fault_text(error: Exception) -> str:
    return str(error) if isinstance(error, FerEdgeError) else f"the files cannot be read again ({clean(repr(error))})"
