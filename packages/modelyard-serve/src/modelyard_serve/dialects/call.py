"""What goes into a dialect and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelyard_serve.errors import AcceptError
from modelyard_serve.served import Predicted

JSON = "application/json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


class Call(NamedTuple):
    """One request: its body and the headers that dialects read.

    `kind` is the Content-Type in lower case without parameters, `parameters` the rest of it.
    """

    body: bytes
    kind: str = JSON
    parameters: str = ""
    accept: str = ""
    headers: Mapping[str, str] = {}
    model: str = ""
    version: str = ""


class Answer(NamedTuple):
    """The answer's body and type; `predicted` is what telemetry counts."""

    body: bytes
    kind: str
    predicted: Predicted | None = None
    headers: tuple[tuple[str, str], ...] = ()


def choose(accept: str, offered: Sequence[str]) -> str:
    """Return the offered type that `accept` likes best, the first where it does not say.

    Raises:
        AcceptError: none of them is acceptable (RFC 9110, section 12.5.1).
    """
    if not accept or accept == "*/*":
        return offered[0]
    ranges: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges.setdefault(name, (_quality(parameters), -place))
    likings = [
        # The narrowest range that names a type tells of it, so that "*/*" revives no "q=0".
        next((ranges[name] for name in (kind, _family(kind), "*/*") if name in ranges), (0.0, 0))
        for kind in offered
    ]
    best = max(likings)
    if best[0] == 0:
        raise AcceptError(f"the route answers in {', '.join(offered)}; Accept was {accept[:200]}")
    return offered[likings.index(best)]


def _family(kind: str) -> str:
    return kind.partition("/")[0] + "/*"


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                return 0.0
            return min(quality, 1.0) if quality > 0 else 0.0
    return 1.0


def has_header(parameters: str) -> bool:
    """Whether a CSV body has a header line: RFC 4180's `header=absent` says that it has none."""
    return "header=absent" not in parameters.lower().replace(" ", "").replace('"', "")
