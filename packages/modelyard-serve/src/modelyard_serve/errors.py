"""Every error of the serve half, with the HTTP status that it means. No Flask in here."""

from __future__ import annotations

from typing import Any, NamedTuple

SHOWN = 10
"""A printed failure is capped: this many problems and a count."""


class Problem(NamedTuple):
    """One cell that cannot be read: which row (from 0), which column, what was expected."""

    row: int | None
    column: str
    expected: str
    got: str


class ServeError(Exception):
    """The root: carries the status that a transport should answer with."""

    status = 500
    title = "The model could not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def as_problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem document."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


class PackageError(ServeError):
    """The model package is not whole, not ours, or of a FORMAT that this reader does not know."""

    title = "The model package cannot be used"


class GoldenError(PackageError):
    """The packed samples no longer give the packed answers."""

    title = "The model does not reproduce its golden samples"


class SettingsError(ServeError):
    """The environment asks for something that the server cannot do."""

    title = "The server's settings cannot be used"


class InputError(ServeError):
    """The rows do not fit the signature. Names rows and columns, ten at the most."""

    status = 422
    title = "The rows do not fit the model's signature"

    def __init__(self, detail: str, problems: list[Problem] | None = None, total: int = 0) -> None:
        self.problems = (problems or [])[:SHOWN]
        self.total = max(total, len(problems or []))
        super().__init__(detail)

    def as_problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem document that names rows and columns."""
        return super().as_problem() | {
            "problems": [problem._asdict() for problem in self.problems],
            "problems_total": self.total,
        }


class BodyError(ServeError):
    """The request's body cannot be read at all."""

    status = 400
    title = "The body cannot be read"


class UnauthorizedError(ServeError):
    """The request carries no API key that the server knows."""

    status = 401
    title = "An API key is needed"


class UnknownModelError(ServeError):
    """The address names a model or a version that this server does not hold."""

    status = 404
    title = "There is no such model here"


class AcceptError(ServeError):
    """The client accepts no form that the route can answer in."""

    status = 406
    title = "No acceptable form of answer"


class TooLargeError(ServeError):
    """More bytes or more rows than the server takes in one request."""

    status = 413
    title = "The request is too large"


class MediaTypeError(ServeError):
    """The body's Content-Type is none that the route reads."""

    status = 415
    title = "The body's type is not supported"


class TooManyError(ServeError):
    """The caller sends more requests a second than it may."""

    status = 429
    title = "Too many requests"


class NotReadyError(ServeError):
    """The server is draining: it answers what it has and takes nothing new."""

    status = 503
    title = "The server is not ready"
