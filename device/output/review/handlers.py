"""The request handlers of the review page: its state, a crop, and the steps of its owner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.web import Application, HTTPError

from device.output.live.page_handler import (
    PAGE_FOLDER,
    NotFoundHandler,
    PageContext,
    PageHandler,
    SessionHandler,
    file_handlers,
)
from device.output.review.labelling import Labelling
from fer_edge.errors import UsageError

_JS = "text/javascript; charset=utf-8"
_OWN_FILES = {
    "/": ("review.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", _JS),
}
_SHARED_FILES = {
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/session.js": ("session.js", _JS),
    "/words.js": ("words.js", _JS),
}


@dataclass(frozen=True, slots=True)
class ReviewContext(PageContext):
    """What the handlers of the review page share."""

    labelling: Labelling


class ReviewHandler(PageHandler):
    """A handler of the faces: whatever a request asks for that cannot be done is answered by a sentence."""

    context: ReviewContext

    def answer(self, step: Callable[[], str | None]) -> None:
        """Takes a step, and sends the state after it; the step may name the crop to show first."""
        try:
            state = self.context.labelling.to_json(step() or "")
        except UsageError as error:
            return self.refuse(400, str(error))
        except FileNotFoundError:
            return self.refuse(404, "that face is not there any more")
        except FileExistsError:
            return self.refuse(409, "a face of that name has that label already")
        except OSError as error:
            return self.refuse(500, f"the folder cannot be changed: {error.strerror}")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(state, allow_nan=False))
        return None

    def refuse(self, status: int, sentence: str) -> None:
        """Sends a sentence about why nothing was done."""
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{sentence}.\n")

    def texts(self, *names: str) -> list[str]:
        """The texts of these names in the request's JSON."""
        try:
            body = json.loads(self.request.body)
            values = [body[name] for name in names]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise HTTPError(400, reason=f"the request has no {' and '.join(names)}") from error
        if not all(isinstance(value, str) for value in values):
            raise HTTPError(400, reason=f"{' and '.join(names)} must be text")
        return values


class StateHandler(ReviewHandler):
    """The state, as JSON."""

    def get(self) -> None:
        self.answer(lambda: None)


class FaceHandler(ReviewHandler):
    """A crop that waits."""

    def get(self, name: str) -> None:
        try:
            png = self.context.labelling.picture(name)
        except (OSError, UsageError) as error:
            raise HTTPError(404, reason="that face is not there any more") from error
        self.set_header("Content-Type", "image/png")
        self.finish(png)


class LabelHandler(ReviewHandler):
    """Labels a crop."""

    def post(self) -> None:
        face, label = self.texts("face", "label")
        self.answer(lambda: self.context.labelling.label(face, label))


class UndoHandler(ReviewHandler):
    """Takes the last label back."""

    def post(self) -> None:
        self.answer(self.context.labelling.undo)


class DeleteHandler(ReviewHandler):
    """Deletes a crop."""

    def post(self) -> None:
        (face,) = self.texts("face")
        self.answer(lambda: self.context.labelling.delete(face))


class ClassHandler(ReviewHandler):
    """Offers another class."""

    def post(self) -> None:
        (label,) = self.texts("label")
        self.answer(lambda: self.context.labelling.add_class(label.strip()))


def application(context: ReviewContext) -> Application:
    """All handlers by their paths; no request is logged."""
    arguments = {"context": context}
    files = [
        *file_handlers(context, Path(__file__).with_name("page"), _OWN_FILES),
        *file_handlers(context, PAGE_FOLDER, _SHARED_FILES),
    ]
    rest: list[Any] = [
        ("/session", SessionHandler, arguments),
        ("/state", StateHandler, arguments),
        ("/face/([0-9A-Za-z-]+[.]png)", FaceHandler, arguments),
        ("/label", LabelHandler, arguments),
        ("/undo", UndoHandler, arguments),
        ("/delete", DeleteHandler, arguments),
        ("/class", ClassHandler, arguments),
        (".*", NotFoundHandler, arguments),
    ]
    return Application([*files, *rest], log_function=lambda _: None)
