"""A canary: the new model answers a share of the traffic, or only watches, and is judged by it.

What it is judged by is in figures.py; here is how each target brings it beside the stable release,
takes the figures, and ends it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from modelyard.errors import GateRefused, ModelyardError, UsageError
from modelyard.ship.deploy import kubernetes, local, replay
from modelyard.ship.deploy.door import Door, door_of, folder, open_door, switch
from modelyard.ship.deploy.figures import (
    Figures,
    Pairs,
    Verdict,
    judge,
    read_metrics,
    read_pairs,
)
from modelyard.ship.deploy.published import published
from modelyard.ship.deploy.smoke import smoke
from modelyard.ship.deploy.target import Canary, Live, Place, Say, Shipment
from modelyard.tools import engine as containers
from modelyard.tools import kubernetes as tool
from modelyard.tools.processes import mark

LOOK_EVERY = 5.0


def run(place: Place, what: Shipment, rules: Canary, say: Say) -> Live:
    """Bring the canary up, watch it, promote or abort it.

    Raises:
        GateRefused: the canary was aborted; every reason is in the message.
        UsageError: nothing is live that it could be compared with, or the target has no canary.
        ModelyardError: it could not be brought up, or what was promoted did not prove itself.
    """
    ways: dict[str, Callable[[Place, Shipment, Canary, Say], Live]] = {
        "kubernetes": _kubernetes,
        "local": _local,
    }
    if place.target not in ways:
        raise UsageError(
            f"The target {place.target} has no canary.",
            why=f"It is there for: {', '.join(ways)}.",
            next_step=f"modelyard deploy --env {place.name}",
        )
    return ways[place.target](place, what, rules, say)


def _local(place: Place, what: Shipment, rules: Canary, say: Say) -> Live:
    if door_of(place) is None:
        raise _nothing_live(place)
    engine = containers.find(place.project.settings.image.engine)
    before = local.settle(engine, place, say)
    assert before is not None, "the door was there a moment ago"
    name = f"{local.name_of(place, before.revision + 1)}-canary"
    new = local.start(engine, place, what, name, say)
    path = folder(place) / "pairs.jsonl"
    path.unlink(missing_ok=True)
    try:
        smoke(f"http://127.0.0.1:{new.port}", what)
        door = Door(
            listen=before.listen, stable=before.stable, container=before.container,
            canary=new.port, canary_container=new, share=rules.share, shadow=rules.shadow,
            pairs=str(path), revision=before.revision, judge=mark(os.getpid()),
        )  # fmt: skip
        switch(place, door)
        open_door(place, before.listen[1])

        def look() -> tuple[Figures, Figures, Pairs]:
            return read_pairs(path.read_text("utf-8").splitlines() if path.is_file() else ())

        verdict = _watch(look, rules, say)
    finally:
        switch(place, before)
        local.end(engine, new.name)
    _decide(place, verdict, say)
    live = local.deploy(place, what, say)
    return _with(live, verdict)


def _kubernetes(place: Place, what: Shipment, rules: Canary, say: Say) -> Live:
    cluster = kubernetes.connect(place)
    kubernetes.settle(cluster, place)
    good = kubernetes.last_good(cluster, place)
    if good is None:
        raise _nothing_live(place)
    release = kubernetes.release_of(place)
    now = tool.values_of(cluster, release, good)
    stable = {"image": now["image"], "model": now["model"]}
    what = published(place, what, say)
    beside = kubernetes.image_values(what)
    total = max(1, len(tool.pods(cluster, kubernetes.selector(place))))
    own = {
        **stable,
        # The agreement is read from what the stable pods were really asked.
        "server": {"predictionLog": {"enabled": True}},
        "canary": {
            "enabled": True,
            "shadow": rules.shadow,
            "weight": rules.share,
            "replicas": max(1, round(total * rules.share / max(1, 100 - rules.share))),
            "image": {k: beside["image"].get(k, "") for k in ("repository", "digest", "tag")},
            "model": beside["model"],
        },
    }
    kubernetes.upgrade(cluster, place, own, say)
    try:
        key = kubernetes.key_of(cluster, release)
        start = _tracks(cluster, place, key)
        since = time.time()

        def look() -> tuple[Figures, Figures, Pairs]:
            end = _tracks(cluster, place, key)
            selector, beside = kubernetes.selector(place), f"{release}-canary"
            pairs = replay.replay(cluster, selector, beside, since, rules.least * 5, key)
            return (
                _since(end["stable"], start["stable"]),
                pairs[0].plus(_since(end["canary"], start["canary"])),
                pairs[1],
            )

        verdict = _watch(look, rules, say)
    except BaseException:
        kubernetes.take_back(cluster, place, good, say)
        raise
    if not verdict.passed:
        kubernetes.take_back(cluster, place, good, say)
    _decide(place, verdict, say)
    try:
        kubernetes.upgrade(cluster, place, beside, say)
    except BaseException:
        # Helm itself goes back to the revision before, which is the canary's.
        kubernetes.take_back(cluster, place, good, say)
        raise
    return _with(kubernetes.prove(cluster, place, what, good, say), verdict)


def _tracks(cluster: tool.Cluster, place: Place, key: str) -> dict[str, dict[str, Figures]]:
    """Each track's pods with their counters."""
    found: dict[str, dict[str, Figures]] = {"stable": {}, "canary": {}}
    for pod in tool.pods(cluster, kubernetes.selector(place)):
        if pod.ready and pod.track in found:
            with cluster.forward(f"pod/{pod.name}", local.PORT) as way:
                found[pod.track][pod.name] = read_metrics(replay.fetch(f"{way.url}/metrics", key))
    return found


def _since(now: dict[str, Figures], before: dict[str, Figures]) -> Figures:
    """What the pods counted since; one that is new counts from zero."""
    total = Figures()
    for name, figures in now.items():
        total = total.plus(figures.minus(before.get(name, Figures())))
    return total


def _watch(look: Callable[[], tuple[Figures, Figures, Pairs]], rules: Canary, say: Say) -> Verdict:
    """Look until the time is over, or until so many errors came that no time would mend it."""
    ends = time.monotonic() + rules.seconds
    while True:
        left = ends - time.monotonic()
        stable, beside, pairs = look()
        verdict = judge(stable, beside, pairs, rules)
        hopeless = beside.requests >= rules.least and beside.error_share > 2 * rules.most_errors
        if left <= 0 or hopeless:
            return verdict
        say(f"  {verdict.reasons[0]}, {max(0, left):.0f} s left")
        time.sleep(min(LOOK_EVERY, max(0.1, left)))


def _decide(place: Place, verdict: Verdict, say: Say) -> None:
    for reason in verdict.reasons:
        say(f"  {reason}")
    if not verdict.passed:
        failed = [reason[2:] for reason in verdict.reasons if reason.startswith("✗")]
        raise GateRefused(
            f"The canary in {place.name} was aborted; what served before serves all of it again.",
            why="; ".join(failed),
            next_step="look at both models: modelyard runs ; give it more time with --canary-time",
        )
    say("the canary is promoted")


def _with(live: Live, verdict: Verdict) -> Live:
    return Live(live.where, live.revision, live.url, {**live.figures, **verdict.figures})


def _nothing_live(place: Place) -> ModelyardError:
    return UsageError(
        f"There is nothing in {place.name} that a canary could be compared with.",
        why="A canary stands beside a release that is live.",
        next_step=f"modelyard deploy --env {place.name}",
    )
