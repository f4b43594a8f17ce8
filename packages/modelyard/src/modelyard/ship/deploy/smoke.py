"""Ask an endpoint the golden samples of the package that was judged."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from modelyard.errors import ModelyardError
from modelyard.ship.deploy.target import Shipment
from modelyard.ship.golden import differences

TOLERANCE = 1e-5
"""Answers may differ by this much, relative to the larger of 1 and the value: another processor's
last digits are not ours."""


class Golden(msgspec.Struct, frozen=True):
    """golden.json of the package."""

    rows: list[dict[str, Any]]
    scores: list[list[float]]
    tolerance: float


def smoke(url: str, what: Shipment, *, tries: int = 30, key: str = "") -> dict[str, float]:
    """Hold an endpoint's answers against the package's golden samples.

    Args:
        url: of the endpoint, without a path.
        tries: how often a connection that is refused is tried again, a second apart.

    Returns:
        samples, worst_difference, seconds of the answer.

    Raises:
        ModelyardError: it does not answer, answers otherwise, or serves another package.
    """
    golden = msgspec.json.decode((what.package / "golden.json").read_bytes(), type=Golden)
    said, seconds = _ask(url, golden.rows, tries, key)
    served = said.get("model") if isinstance(said, dict) else None
    if not isinstance(served, dict):
        raise _another_form(url, said)
    if served.get("digest") != what.package_digest:
        raise ModelyardError(
            f"{url} serves another package than the one that the gate judged.",
            why=f"It says {str(served.get('digest'))[:12]}, judged was "
            f"{what.package_digest[:12]} ({what.version}).",
            next_step="modelyard image build, then deploy again",
        )
    try:
        given = said.get("probabilities") or [[value] for value in said["predictions"]]
        worst = max(differences(given, golden.scores, relative=True))
    except (KeyError, TypeError, ValueError) as error:
        raise _another_form(url, said) from error
    if worst > max(TOLERANCE, golden.tolerance):
        raise ModelyardError(
            f"{url} does not answer the golden samples as packed.",
            why=f"The worst difference is {worst:.2g}, allowed is {TOLERANCE:.0e}.",
            next_step="modelyard logs",
        )
    return {
        "golden_samples": float(len(golden.rows)),
        "golden_difference": worst,
        "golden_seconds": seconds,
    }


def _another_form(url: str, said: object) -> ModelyardError:
    return ModelyardError(
        f"{url} answers the golden samples in another form.",
        why=f"It said {json.dumps(said, default=str)[:200]}",
        next_step=f"see what answers there: curl {url}/v1/model",
    )


def _ask(url: str, rows: list[dict[str, Any]], tries: int, key: str) -> tuple[Any, float]:
    body = json.dumps({"rows": rows}).encode()
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    for left in reversed(range(tries)):
        began = time.monotonic()
        try:
            request = urllib.request.Request(  # noqa: S310 - http or https, checked by `place`
                f"{url}/v1/predict", body, headers
            )
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                content = answer.read()
            try:
                return json.loads(content), time.monotonic() - began
            except ValueError as error:
                text = content[:200].decode("utf-8", "replace")
                raise _another_form(url, text) from error
        except urllib.error.HTTPError as error:
            if left and error.code in (502, 503, 504):
                time.sleep(1)
                continue
            raise ModelyardError(
                f"{url} answered the golden samples with {error.code}.",
                why=error.read(400).decode("utf-8", "replace"),
                next_step="modelyard logs",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            if not left:
                raise ModelyardError(
                    f"{url} does not answer.", why=str(error), next_step="modelyard status"
                ) from error
            time.sleep(1)
    raise AssertionError("the last try returns or raises")
