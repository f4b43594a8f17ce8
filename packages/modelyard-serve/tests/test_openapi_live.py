"""The document of /openapi.json against the running server: schemathesis asks, and checks answers.

MODELYARD_FUZZ_EXAMPLES is shared with test_fuzz.py; each operation gets a tenth of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from handmade import write_package
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from running import Running
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = max(5, int(os.environ.get("MODELYARD_FUZZ_EXAMPLES", "500")) // 10)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all operations."""
    folder = tmp_path_factory.mktemp("live")
    limits = {"MODELYARD_MAX_ROWS": "1000", "MODELYARD_MAX_BODY_BYTES": str(2**20)}
    with Running(write_package(folder / "package"), folder / "server", settings=limits) as running:
        yield running.ready()


def test_the_server_is_as_its_document(server: Running) -> None:
    base = f"http://127.0.0.1:{server.port}"
    document = schemathesis.openapi.from_url(f"{base}/openapi.json")
    asked = 0
    wrong: dict[str, str] = {}
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def as_told(case: schemathesis.Case) -> None:
            _check(case)

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def otherwise(case: schemathesis.Case) -> None:
            _check(case)

        for attack in (as_told, otherwise):
            try:
                attack()
            except Unsatisfiable:
                pass  # an operation without parameters and body cannot be asked otherwise
            except (AssertionError, BaseExceptionGroup) as error:
                wrong[f"{operation.label}, {attack.__name__}"] = f"{error}"
        asked += 1
    assert asked >= 20
    assert wrong == {}, "\n\n".join(f"{name}:\n{text[:2000]}" for name, text in wrong.items())
    assert server.is_ready()
    told = {status: _count(server, status) for status in ("200", "400", "422", "500")}
    assert told["200"] >= 5, told  # most texts are no date, and no table
    assert told["400"] + told["422"] > EXAMPLES, told
    assert told["500"] == 0, told


def _count(server: Running, status: str) -> float:
    routes = ("/v1/predict", "/invocations", "/v2/models/{name}/infer")
    counters = server.counters()
    names = (f'modelyard_requests_total{{code="{status}",route="{route}"}}' for route in routes)
    return sum(counters.get(name, 0) for name in names)


def _check(case: schemathesis.Case) -> None:
    response = case.call(timeout=30)
    assert "Traceback" not in response.text
    case.validate_response(response, checks=CHECKS)
