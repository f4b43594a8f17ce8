"""What every target can do, and what a deploy hands to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.settings import Environment

Say = Callable[[str], None]

PORT = 8080
PORTS = {"production": 8081}
"""Where a local endpoint listens if modelyard.yaml does not say: two can run beside each other."""


@contextmanager
def only_looking() -> Iterator[None]:
    """A block that asks and changes nothing: what fails in it is no deploy, and is not recorded."""
    try:
        yield
    except ModelyardError as error:
        error.touched = False
        raise


@dataclass(frozen=True)
class Shipment:
    """The image that goes out, and the model that the gate judged.

    `reference` is the repository without tag or digest; `digest` is the registry's digest of the
    manifest, empty for an image that was pushed nowhere; `image_id` is the engine's.
    """

    model: str
    version: str
    package_digest: str
    run_id: str
    package: Path
    reference: str
    tag: str
    digest: str
    image_id: str

    @property
    def shown(self) -> str:
        """The image as a person names it."""
        return f"{self.reference}@{self.digest}" if self.digest else f"{self.reference}:{self.tag}"


@dataclass(frozen=True)
class Place:
    """An environment of a project, its flags resolved."""

    project: Project
    name: str
    target: str
    settings: Environment
    seconds: int
    context: str | None = None
    namespace: str = ""
    create_namespace: bool = False

    @property
    def port(self) -> int:
        """The port that a local endpoint listens at."""
        return self.settings.port or PORTS.get(self.name, PORT)


@dataclass(frozen=True)
class Live:
    """What a target says it did."""

    where: str
    revision: str
    url: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One pod, task or container of an environment."""

    name: str
    version: str
    ready: bool
    restarts: int
    image: str
    since: str
    note: str = ""


@dataclass(frozen=True)
class Status:
    """What runs in an environment now."""

    where: str
    revision: str
    state: str
    url: str
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Canary:
    """How a canary is judged, over `seconds` of live traffic."""

    seconds: float
    share: int
    shadow: bool
    most_errors: float
    slower: float
    agreement: float
    least: int


@dataclass(frozen=True)
class Target:
    """The functions of one target. Each raises ModelyardError with the target's own words."""

    where: Callable[[Place], str]
    plan: Callable[[Place, Shipment], str]
    deploy: Callable[[Place, Shipment, Say], Live]
    status: Callable[[Place], Status]
    logs: Callable[[Place, int, bool, str], Iterator[str]]
    rollback: Callable[[Place, Shipment, str, Say], Live]
