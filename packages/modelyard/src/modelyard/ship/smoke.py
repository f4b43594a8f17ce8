"""smoke: the golden samples of a package through HTTP, and the answers beside what was packed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError, UsageError
from modelyard.ship.golden import differences
from modelyard.ship.serve import Served

PATIENCE = 60.0
"""Seconds that a server has to become ready."""


@dataclass(frozen=True)
class Smoke:
    """What an endpoint answered. `difference` is the largest of an answer to the packed score."""

    address: str
    model: str
    samples: int
    difference: float
    tolerance: float
    seconds: float


def smoke(served: Served, address: str | None = None, *, timeout: float = 30.0) -> Smoke:
    """Score the package's golden samples at `address`, or at a server started here for it.

    Raises:
        UsageError: the address is empty or no http address.
        ModelyardError: nothing answers there, another model does, or an answer differs.
    """
    if address is not None:
        if not address.startswith(("http://", "https://")):
            raise UsageError(
                f"{address!r} is no address of an endpoint."
                if address
                else "The address is empty.",
                why="It begins with http:// or https://. In a pipeline it is a variable of the "
                "repository (not of an environment), such as STAGING_URL, else "
                "deploy.environments.staging.url; neither may be set yet.",
                next_step="modelyard smoke https://HOST, or without an address: modelyard smoke",
            )
        return _compare(served.package, address.rstrip("/"), timeout)
    with _server(served.package) as local:
        return _compare(served.package, local, timeout)


def _compare(package: Path, address: str, timeout: float) -> Smoke:
    from modelyard_serve.contract import read_golden, read_manifest

    manifest, golden = read_manifest(package), read_golden(package)
    started = time.monotonic()
    answer = _call(f"{address}/v1/predict", timeout, {"rows": golden.rows})
    seconds = time.monotonic() - started
    try:
        if manifest.task == "regression":
            found = [[value] for value in answer["predictions"]]
        else:
            found = answer["probabilities"]
        classes = tuple(answer.get("classes", ()))
        if classes != manifest.classes:
            raise ModelyardError(
                f"{address} serves another model.",
                why=f"Its classes are {list(classes)}, the package's are {list(manifest.classes)}.",
                next_step=f"see what answers there: curl {address}/v1/model",
            )
        far = differences(found, golden.scores, relative=False)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelyardError(
            f"{address} answers in another form.",
            why=f"{type(error).__name__}: {error}, in {json.dumps(answer)[:200]}",
            next_step=f"see what answers there: curl {address}/v1/model",
        ) from error
    scale = 1.0
    if manifest.task == "regression":
        scale = max(1.0, *(abs(value) for row in golden.scores for value in row))
    worst = max(far)
    if worst > golden.tolerance * scale:
        place = far.index(worst)
        raise ModelyardError(
            f"{address} does not answer as the package was packed.",
            why=f"Golden sample {place} gives {found[place]}, packed was {golden.scores[place]}.",
            next_step="modelyard test, to see whether the package itself holds ; "
            f"curl {address}/v1/model, to see which release answers",
        )
    return Smoke(address, manifest.name, len(found), worst, golden.tolerance * scale, seconds)


def _call(url: str, timeout: float, body: Any = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read(500).decode("utf-8", "replace")
        raise ModelyardError(
            f"{url} answers {error.code}.", why=said, next_step=f"curl -i {url}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelyardError(
            f"Nothing of use answers at {url}.", why=str(error), next_step=f"curl -i {url}"
        ) from error


@contextmanager
def _server(package: Path) -> Iterator[str]:
    """A server of the package on a free port of this machine, for as long as the block lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environ = os.environ | {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "LOG_LEVEL": "warning",
        "MODELYARD_DRAIN_SECONDS": "0",
    }
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "modelyard_serve", str(package)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environ,
        )
        try:
            _wait(server, address, log)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], address: str, log: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/v2/health/ready", timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    log.seek(0)
    said = log.read()[-1500:].decode("utf-8", "replace").strip()
    raise ModelyardError(
        "The package's server did not become ready."
        if server.poll() is None
        else f"The package's server ended with code {server.returncode}.",
        why=said or "It said nothing.",
        next_step="modelyard serve, to see it by itself",
    )
