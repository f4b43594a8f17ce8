"""A canary on a cluster: whatever goes wrong on its way, what served before serves all of it again.

The cluster's answers are made here; the life of a canary on a real one is `make e2e-kubernetes`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.errors import GateRefused, ModelyardError, ToolFailed
from modelyard.ship.deploy import canary
from modelyard.ship.deploy.figures import Verdict
from modelyard.ship.deploy.target import Canary, Live

RULES = Canary(
    seconds=0.1, share=20, shadow=False, most_errors=0.01, slower=1.5, agreement=0.9, least=10
)
PASSED = Verdict(True, ("✓ 40 requests",), {"agreement": 1.0})
FAILED = Verdict(False, ("✓ 40 requests", "✗ agreement 0.5"), {"agreement": 0.5})


class Stage:
    """What the cluster is asked to do, in order; `fails` names the step that ends with an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, fails: str = "") -> None:
        self.done: list[str] = []
        self.fails = fails
        place = SimpleNamespace(name="staging", target="kubernetes")
        self.place: Any = place
        parts: dict[str, Any] = {
            "connect": lambda place: "cluster",
            "settle": lambda cluster, place: None,
            "last_good": lambda cluster, place: 7,
            "release_of": lambda place: "churn",
            "selector": lambda place: "",
            "image_values": lambda what: {
                "image": {"repository": "r", "digest": "sha256:new", "tag": ""},
                "model": {"version": "v2"},
            },
            "upgrade": self._upgrade,
            "take_back": lambda cluster, place, good, say: self._step(f"back to {good}"),
            "key_of": lambda cluster, release: self._step("key") or "",
            "prove": lambda cluster, place, what, good, say: self._prove(),
        }
        for name, part in parts.items():
            monkeypatch.setattr(canary.kubernetes, name, part)
        old = {"image": {"digest": "sha256:old"}, "model": {"version": "v1"}}
        monkeypatch.setattr(canary.tool, "values_of", lambda cluster, release, good: old)
        monkeypatch.setattr(canary.tool, "pods", lambda cluster, selector: [])
        monkeypatch.setattr(canary, "published", lambda place, what, say: what)
        monkeypatch.setattr(canary, "_watch", lambda look, rules, say: verdict)

    def run(self) -> Live:
        """The canary's whole way."""
        return canary.run(self.place, SimpleNamespace(), RULES, lambda line: None)  # type: ignore[arg-type]

    def _upgrade(self, cluster: Any, place: Any, values: dict[str, Any], say: Any) -> None:
        beside = bool(values.get("canary", {}).get("enabled"))
        self._step("canary beside" if beside else f"all to {values['image']['digest']}")

    def _prove(self) -> Live:
        self._step("proved")
        return Live("prod", "8", "http://churn", {})

    def _step(self, name: str) -> None:
        self.done.append(name)
        if self.fails and name.startswith(self.fails):
            raise ToolFailed(f"{name} failed", why="for the test", next_step="none")


def test_a_good_canary_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, PASSED)
    assert stage.run().figures == {"agreement": 1.0}
    assert stage.done == ["canary beside", "key", "all to sha256:new", "proved"]


def test_a_bad_canary_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, FAILED)
    with pytest.raises(GateRefused) as told:
        stage.run()
    assert told.value.why == "agreement 0.5"
    assert stage.done == ["canary beside", "key", "back to 7"]


@pytest.mark.parametrize(
    ("fails", "done"),
    [
        ("key", ["canary beside", "key", "back to 7"]),
        ("all to", ["canary beside", "key", "all to sha256:new", "back to 7"]),
    ],
)
def test_a_failure_on_the_way_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, fails: str, done: list[str]
) -> None:
    """A promotion that fails too: Helm itself would go back to the canary's own revision."""
    stage = Stage(monkeypatch, PASSED, fails)
    with pytest.raises(ModelyardError, match="failed"):
        stage.run()
    assert stage.done == done
