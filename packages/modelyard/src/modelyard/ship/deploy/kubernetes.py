"""Kubernetes: the chart is upgraded, proved through its Service, and taken back where it fails."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import LockHeld, ModelyardError, UsageError
from modelyard.render.chart import chart_name
from modelyard.ship.chart import chart, folder_of
from modelyard.ship.deploy.published import published
from modelyard.ship.deploy.smoke import smoke
from modelyard.ship.deploy.target import (
    Live,
    Part,
    Place,
    Say,
    Shipment,
    Status,
    Target,
    only_looking,
)
from modelyard.tools import kubernetes as tool
from modelyard.tools.kubernetes import Cluster

TEST_SECONDS = 180
"""What `helm test` may take: a pod has to be placed and to start."""


def release_of(place: Place) -> str:
    """The helm release's name: the project's."""
    return chart_name(place.project.name)


def selector(place: Place) -> str:
    """The labels of the release's server pods."""
    return f"app.kubernetes.io/instance={release_of(place)},app.kubernetes.io/component=server"


def connect(place: Place) -> Cluster:
    """The cluster of the environment. Raises ToolFailed where none answers."""
    with only_looking():
        return tool.connect(place.context, place.namespace)


def where(place: Place) -> str:
    """The context and namespace that would be touched."""
    return f"context {connect(place).context}, namespace {place.namespace}"


def plan(place: Place, what: Shipment) -> str:
    """The manifests, checked by the cluster's API server; nothing is changed."""
    cluster = connect(place)
    with values(place, image_values(what)) as files:
        return tool.upgrade(
            cluster, release_of(place), folder_of(place.project), values=files,
            seconds=place.seconds, description="dry run", dry_run=True,
        )  # fmt: skip


def deploy(place: Place, what: Shipment, say: Say) -> Live:
    """Upgrade, wait, prove, or take it back.

    Raises:
        ModelyardError: the rollout failed; the pods' own words are in it, and the release that was
            there before serves on.
    """
    cluster = connect(place)
    settle(cluster, place)
    good = last_good(cluster, place)
    what = published(place, what, say)
    upgrade(cluster, place, image_values(what), say)
    return prove(cluster, place, what, good, say)


def upgrade(cluster: Cluster, place: Place, own: dict[str, Any], say: Say) -> None:
    """Bring the release to these values and wait, keeping what pods said on the way."""
    release, said = release_of(place), list[str]()

    def look() -> None:
        # What pods say is only for the message: a look that fails must not end the rollout.
        try:
            found = tool.words(cluster, selector(place))
        except ModelyardError:
            return
        for line in found:
            if line not in said:
                say(f"  {line}")
                said.append(line)

    say(f"helm upgrade {release} in {place.namespace} ({cluster.context})")
    with values(place, own) as files:
        try:
            tool.upgrade(
                cluster, release, folder_of(place.project), values=files, seconds=place.seconds,
                description=f"modelyard {own.get('model', {}).get('version', '')}",
                create_namespace=place.create_namespace, look=look,
            )  # fmt: skip
        except ModelyardError as error:
            if not said:
                raise
            raise ModelyardError(
                f"The rollout to {place.name} failed; what served before serves on.",
                why=f"{_most_telling(said)} (helm: {error.why or error.what})",
                next_step=f"kubectl -n {place.namespace} get events ; mend it, then deploy again",
            ) from error


def prove(cluster: Cluster, place: Place, what: Shipment, good: int | None, say: Say) -> Live:
    """Ask the golden samples in the cluster and from here; take the release back if they fail."""
    release = release_of(place)
    number = tool.history(cluster, release)[-1].number
    try:
        passed, words = tool.test(cluster, release, TEST_SECONDS)
        if not passed:
            told = [line for line in words.splitlines() if line.startswith("golden:")]
            raise ModelyardError(
                "The golden samples do not pass through the Service.",
                why=told[-1] if told else words[-600:],
                next_step=f"kubectl -n {place.namespace} logs {release}-test",
            )
        say("helm test: the golden samples pass through the Service")
        with cluster.forward(f"svc/{_stable(cluster, release)}", _port(cluster, release)) as way:
            figures = smoke(way.url, what, key=key_of(cluster, release))
    except ModelyardError as error:
        take_back(cluster, place, good, say)
        raise ModelyardError(
            f"The new release did not prove itself in {place.name} and was taken back: "
            f"{error.what}",
            why=error.why,
            next_step=error.next_step,
        ) from error
    except BaseException:  # interrupted, or a defect of ours: what is not proved does not stay
        take_back(cluster, place, good, say)
        raise
    return Live(where_of(cluster), str(number), endpoint(cluster, place), figures)


def take_back(cluster: Cluster, place: Place, good: int | None, say: Say) -> None:
    """Return to the last good revision, or to nothing where there was none."""
    if good is None:
        say("there was no release before: this one is removed")
        tool.uninstall(cluster, release_of(place))
        return
    say(f"back to revision {good}")
    tool.rollback(cluster, release_of(place), good, place.seconds)


def settle(cluster: Cluster, place: Place) -> None:
    """See that the namespace is there and that no other deploy is at work.

    A release that a killed deploy left pending is brought back to its last good revision.

    Raises:
        UsageError: the namespace does not exist.
        LockHeld: another deploy is at work.
    """
    with only_looking():
        if not _is_pending(cluster, place):
            return
        good = last_good(cluster, place)
    if good is None:
        tool.uninstall(cluster, release_of(place))
    else:
        tool.rollback(cluster, release_of(place), good, place.seconds)


def _is_pending(cluster: Cluster, place: Place) -> bool:
    """Whether a deploy was begun and never ended. Raises as `settle` does."""
    if not place.create_namespace:
        done = cluster.kubectl("get", "namespace", place.namespace, "-o", "name", check=False)
        # Who may work in one namespace only may not look at it: that is no reason to stop.
        if done.returncode != 0 and "forbidden" not in done.stderr.lower():
            raise tool.translated("kubectl", "get namespace", done.stderr)
    revisions = tool.history(cluster, release_of(place))
    if not revisions or not revisions[-1].status.startswith("pending"):
        return False
    last = revisions[-1]
    age = (datetime.now(UTC) - _moment(last.updated)).total_seconds()
    if age < place.seconds + 60:
        raise LockHeld(
            f"Another deploy of {release_of(place)} is at work in {place.namespace}.",
            why=f"Revision {last.number} is {last.status} since {age:.0f} s.",
            next_step="wait for it, then: modelyard status --env " + place.name,
        )
    return True


def last_good(cluster: Cluster, place: Place) -> int | None:
    """The newest revision that was live, or None."""
    good = [
        entry.number
        for entry in tool.history(cluster, release_of(place))
        if entry.status in ("deployed", "superseded")
    ]
    return good[-1] if good else None


def status(place: Place) -> Status:
    """What runs, pod by pod."""
    cluster = connect(place)
    revisions = tool.history(cluster, release_of(place))
    if not revisions:
        raise UsageError(
            f"Nothing is deployed to {place.name}.",
            why=f"{where_of(cluster)} has no release {release_of(place)}.",
            next_step=f"modelyard deploy --env {place.name}",
        )
    found = tool.pods(cluster, selector(place))
    parts = tuple(
        Part(
            name=pod.name,
            version=pod.version + (" (canary)" if pod.track == "canary" else ""),
            ready=pod.ready,
            restarts=pod.restarts,
            image=pod.image.rpartition("@")[2][:19],
            since=pod.started,
            note=pod.trouble,
        )
        for pod in found
    )
    last = revisions[-1]
    return Status(
        where_of(cluster), str(last.number), last.status, endpoint(cluster, place), parts,
        tuple(tool.words(cluster, selector(place))),
    )  # fmt: skip


def logs(place: Place, lines: int, follow: bool, since: str) -> Iterator[str]:
    """The lines of all pods."""
    return tool.logs(connect(place), selector(place), lines=lines, follow=follow, since=since)


def rollback(place: Place, what: Shipment, revision: str, say: Say) -> Live:
    """Bring an old revision back, and prove it.

    Raises:
        UsageError: helm no longer keeps that revision.
    """
    cluster = connect(place)
    settle(cluster, place)
    kept = {entry.number for entry in tool.history(cluster, release_of(place))}
    if not revision.isdigit() or int(revision) not in kept:
        raise UsageError(
            f"helm no longer keeps revision {revision} of {release_of(place)}.",
            why=f"Kept are: {', '.join(map(str, sorted(kept))) or 'none'}.",
            next_step=f"modelyard rollback {what.version} ; modelyard image build ; "
            f"modelyard deploy --env {place.name}",
        )
    now = last_good(cluster, place)
    say(f"helm rollback {release_of(place)} to revision {revision}")
    tool.rollback(cluster, release_of(place), int(revision), place.seconds)
    return prove(cluster, place, what, now, say)


def image_values(what: Shipment) -> dict[str, Any]:
    """The values that a deploy sets: the image and the model in it."""
    image = {"repository": what.reference, "digest": what.digest}
    if not what.digest:
        image |= {"tag": what.tag, "pinned": False, "pullPolicy": "IfNotPresent"}  # type: ignore[dict-item]
    return {
        "image": image,
        "model": {"version": what.version, "packageDigest": what.package_digest},
    }


@contextmanager
def values(place: Place, own: dict[str, Any]) -> Iterator[list[Path]]:
    """The values files in their order: the environment's, the declared ones, a deploy's own."""
    folder = folder_of(place.project)
    if not (folder / "Chart.yaml").is_file():
        chart(place.project)
    files = [path for path in (folder / f"values-{place.name}.yaml",) if path.is_file()]
    for name in place.settings.values:
        path = place.project.root / name
        if not path.is_file():
            raise UsageError(
                f"The values file {name} does not exist.",
                why=f"deploy.environments.{place.name}.values names it.",
                next_step=f"create it, or take it out of modelyard.yaml ({place.project.root})",
            )
        files.append(path)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        path = Path(scratch) / "deploy.json"
        path.write_text(json.dumps(own), encoding="utf-8")
        yield [*files, path]


def where_of(cluster: Cluster) -> str:
    """The place in one line, for records."""
    return f"{cluster.context}/{cluster.namespace}"


def endpoint(cluster: Cluster, place: Place) -> str:
    """The link: as declared, else the Ingress's host, the balancer's, the Service's name."""
    if place.settings.url:
        return place.settings.url
    release = release_of(place)
    for entry in cluster.get("ingress", "-l", f"app.kubernetes.io/instance={release}"):
        rules, tls = entry["spec"].get("rules") or [], entry["spec"].get("tls")
        if rules and rules[0].get("host"):
            return f"{'https' if tls else 'http'}://{rules[0]['host']}"
    service = cluster.get("service", release)[0]
    for way in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
        return f"http://{way.get('hostname') or way.get('ip')}"
    return f"http://{release}.{cluster.namespace}.svc:{service['spec']['ports'][0]['port']}"


def _stable(cluster: Cluster, release: str) -> str:
    """The Service of the stable pods alone, where a canary runs beside them."""
    done = cluster.kubectl("get", "service", f"{release}-stable", "-o", "name", check=False)
    return f"{release}-stable" if done.returncode == 0 else release


def _port(cluster: Cluster, release: str) -> int:
    return int(cluster.get("service", release)[0]["spec"]["ports"][0]["port"])


def key_of(cluster: Cluster, release: str) -> str:
    """An API key of the release's Secret, where it asks for one; empty where it does not.

    Raises:
        ModelyardError: the Secret holds no key.
    """
    said = cluster.helm("get", "values", release, "--all", "-o", "yaml").stdout
    name = ((yaml.safe_load(said) or {}).get("server") or {}).get("apiKeysSecret")
    if not name:
        return ""
    data = (cluster.get("secret", str(name))[0].get("data") or {}).get("keys", "")
    lines = [line.strip() for line in base64.b64decode(data).decode().splitlines()]
    for key in lines:
        if key and not key.startswith("#"):
            return key
    raise ModelyardError(
        f"The Secret {name} holds no API key.",
        why="Its entry `keys` has one a line; empty lines and lines of # do not count.",
        next_step=f"kubectl -n {cluster.namespace} get secret {name} -o yaml",
    )


def _most_telling(said: list[str]) -> str:
    """The last line that names a cause; 'not ready' alone is none."""
    telling = [line for line in said if "and not ready" not in line and "CrashLoop" not in line]
    crashed = [line for line in said if "it said:" in line]
    return (crashed or telling or said)[-1]


def _moment(text: str) -> datetime:
    """helm's time, which has nanoseconds or is in Go's own form."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        plain = " ".join(text.split()[:2])[:19]
        return datetime.fromisoformat(plain).replace(tzinfo=UTC)


TARGET = Target(where=where, plan=plan, deploy=deploy, status=status, logs=logs, rollback=rollback)
