"""image verify: the image is started as hardened as can be, asked, looked into, and judged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import ModelyardError, UsageError
from modelyard.project import Project
from modelyard.records import ImageCheckRecord, ImageRecord, write_json
from modelyard.registry import champion, images
from modelyard.ship.image import judge, probe, scan
from modelyard.ship.image.build import MINIMAL
from modelyard.ship.image.rows import Expected, expected_scores
from modelyard.ship.image.run import (
    PORT,
    log_says_ready,
    present_image,
    reference_of,
    wait,
)
from modelyard.ship.release import now_text
from modelyard.tools import engine as engines
from modelyard.tools.engine.containers import HARDENED

USER = "12345:12345"
"""Any number must do: clusters give each namespace its own."""

MEMORY = "512m"
LOG_LINES = 20


def verify(
    project: Project,
    reference: str = "",
    *,
    compressed: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> ImageCheckRecord:
    """Check an image and write records/image-check.json.

    Args:
        compressed: pack the whole image too, for its size on the wire (some seconds).
        say: called with a line of text before each long step.

    Raises:
        UsageError: no such image, or modelyard did not build it.
        ModelyardError: the container does not start; the release's package is nowhere.
    """
    engine = engines.find(project.settings.image.engine)
    reference = reference_of(project, reference)
    image = present_image(engine, reference)
    record = record_of(project, image, reference)
    package = champion.package_of(project, record.version, record.package_digest)
    say("scoring the golden samples and the held-out rows here")
    expected = expected_scores(project, package)
    say(f"starting {reference} without network, capabilities or a writable disk")
    with hardened(engine, reference) as (container, ready):
        time.sleep(1.0)  # let what the start left be given back before memory is read
        memory = engines.memory_bytes(engine, container)
        say(f"asking for {len(expected.rows):,} rows inside")
        found = _ask(engine, container, expected)
        health = _health(engine, container, image)
        say("looking at every file")
        with engines.export(engine, container) as archive:
            inside = scan.scan(archive)
        log = engines.log(engine, container)
        engine.call(["stop", "--time", "20", container])
        ended = int(engines.state(engine, container)["ExitCode"])
    size = None
    if compressed:
        say("packing the image")
        with engines.save(engine, reference) as stream:
            size = scan.compressed_size(stream)
    difference = _difference(found["outputs"], expected)
    made = judge.judge(
        project.settings.image,
        judge.Seen(
            minimal=record.minimal or project.settings.image.runtime == MINIMAL,
            image=image,
            found=found,
            inside=inside,
            health=health,
            memory=memory,
            difference=difference,
            expected=expected,
            package_digest=record.package_digest,
            packages={one.name for one in record.wheels},
            exit_code=ended,
        ),
    )
    checked = ImageCheckRecord(
        reference=reference,
        image_id=image.id,
        passed=all(check.passed for check in made),
        checks=made,
        parts=inside.parts,
        packages=dict(sorted(found["packages"].items())),
        size=image.size,
        compressed=size,
        user=image.user,
        golden_rows=expected.golden,
        rows=len(expected.rows) - expected.golden,
        difference=difference,
        ready_seconds=round(ready, 2),
        memory=memory,
        sbom=record.sbom,
        health=health,
        log=tuple(log.strip().splitlines()[:LOG_LINES]),
        flags=(*HARDENED, "--network", "none", "--user", USER, "--memory", MEMORY),
        checked=now_text(),
    )
    write_json(project.record("image-check"), checked)
    return checked


def record_of(project: Project, image: engines.Image, reference: str) -> ImageRecord:
    """The record of an image that was built here. Raises UsageError where there is none.

    The same build repeated elsewhere has another id, for its moment is in it, and the same layers.
    """
    newest_first = images.known(project)[::-1]
    by_id = [record for record in newest_first if record.image_id == image.id]
    by_layers = [record for record in newest_first if record.layers == image.layers]
    if found := by_id or by_layers:
        return found[0]
    raise UsageError(
        f"{reference} is no image that was built in this project.",
        why=f"records/{images.FILE} has no line with {image.id[7:19]}.",
        next_step="modelyard image build",
    )


@contextmanager
def hardened(engine: engines.Engine, reference: str) -> Iterator[tuple[str, float]]:
    """A ready container without network, under a strange user; yields it and its start's time."""
    started = time.monotonic()
    container = engines.start(engine, reference, user=USER, network="none", memory=MEMORY)
    try:
        seconds = wait(
            engine, container, lambda: log_says_ready(engines.log(engine, container)), started
        )
        yield container, seconds
    finally:
        engines.remove(engine, container)


def _ask(engine: engines.Engine, container: str, expected: Expected) -> dict[str, Any]:
    body = json.dumps({"port": PORT, "rows": expected.rows}).encode()
    source = Path(probe.__file__).read_text(encoding="utf-8")
    done = engines.call_inside(engine, container, ["python3", "-c", source], body)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ModelyardError(
            "The endpoint in the container did not answer as it must.",
            why=said[-1] if said else f"The probe ended with {done.returncode}.",
            next_step="modelyard image run, to see its log",
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _health(engine: engines.Engine, container: str, image: engines.Image) -> dict[str, Any]:
    """The image's own health check, run once, as the engine would."""
    if image.health[:1] != ("CMD",):
        return {"command": list(image.health), "code": None}
    done = engines.call_inside(engine, container, image.health[1:])
    return {"command": list(image.health), "code": done.returncode}


def _difference(outputs: list[list[float]], expected: Expected) -> float:
    """The largest difference of any score; infinite where the shapes differ."""
    found = np.array(outputs, dtype=np.float64)
    if found.shape != expected.scores.shape:
        return float("inf")
    return float(np.abs(found - expected.scores).max(initial=0.0))
