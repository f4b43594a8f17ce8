"""trace: from any link of the lineage to all the others, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from modelyard.errors import UsageError
from modelyard.project import Project
from modelyard.records import ChampionRecord
from modelyard.registry import champion, images
from modelyard.registry.data_versions import DataVersion, versions
from modelyard.ship.preflight import tracking_uri
from modelyard.ship.track import open_store
from modelyard.tools import git, mlflow

SHORTEST = 4
"""A digest or commit may be shortened to this many characters."""


@dataclass(frozen=True)
class Chain:
    """One run with everything that hangs on it, or a data version that no run has seen yet.

    Texts are empty where a link does not exist. `data_commit` is the one that brought the data
    version. `images` are the references and digests of the images that hold the release.
    """

    data_version: str
    data_md5: str
    data_commit: str
    commit: str = ""
    dirty: str = ""
    run_id: str = ""
    model_digest: str = ""
    package_digest: str = ""
    version: str = ""
    release_commit: str = ""
    released: str = ""
    champion: bool = False
    images: tuple[tuple[str, str], ...] = ()

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and value of each link, in the direction in which data moves."""
        dirty = " + dirty.patch (in the run's artifacts)" if self.dirty == "true" else ""
        brought = f"  since commit {self.data_commit[:12]}" if self.data_commit else ""
        yield "data", f"{self.data_version or 'unversioned'}  md5 {self.data_md5 or '–'}{brought}"
        yield "commit", (self.commit or "–") + dirty
        yield "run", self.run_id or "–"
        yield "model", self.model_digest or "–"
        yield "package", self.package_digest or "–"
        if self.version:
            star = "  ★ champion" if self.champion else ""
            yield "release", f"model/v{self.version} at {self.release_commit[:12]}{star}"
            yield "since", self.released
        for reference, digest in self.images:
            yield "image", f"{reference}  {digest}"

    def matches(self, what: str, commit: str | None) -> bool:
        """Whether `what` names a link of this chain."""
        if what in (f"data/{self.data_version}", self.data_version):
            return bool(self.data_version)
        if self.version and what in (f"model/v{self.version}", f"v{self.version}"):
            return True
        links = [self.data_md5, self.data_commit, self.commit, self.run_id]
        links += [self.model_digest, self.package_digest, self.release_commit]
        links += [digest.removeprefix("sha256:") for _, digest in self.images]
        if what in (reference for reference, _ in self.images):
            return True
        if commit is not None and commit in (self.data_commit, self.commit, self.release_commit):
            return True
        return len(what) >= SHORTEST and any(link.startswith(what) for link in links if link)


def trace(project: Project, what: str) -> list[Chain]:
    """Return every chain that `what` is a link of, newest first.

    Args:
        what: a commit, branch or tag; a run's id; a model's, package's or image's digest; `v1`,
            `data/v1`, `model/v1`. Digests and commits may be shortened.

    Raises:
        UsageError: nothing is known by that name.
    """
    wanted = what.strip().removeprefix("sha256:")
    commit = git.resolve(project.root, wanted)
    built = _images(project)
    chains = [
        chain
        for found in _chains(project)
        if (chain := _with_images(found, built)).matches(wanted, commit)
    ]
    if not chains:
        raise UsageError(
            f"Nothing in this project is known as {what!r}.",
            why="trace takes a commit, a run's id, a digest, or a version such as data/v1.",
            next_step="modelyard runs ; modelyard data log",
        )
    return chains


def _chains(project: Project) -> list[Chain]:
    releases = _releases(project)
    now = champion.current(project)
    data = {version.version: version for version in _data_versions(project)}
    chains, seen = [], set()
    for run in _runs(project):
        digest = run.tags.get(mlflow.DIGEST_TAG, "")
        version, release_commit, released = releases.get(digest, ("", "", None))
        if released is not None and released.run_id == run.run_id:
            seen.add(digest)
        else:
            version, release_commit, released = "", "", None
        data_version = run.tags.get("modelyard.data_version", "")
        chains.append(
            Chain(
                data_version=data_version,
                data_md5=run.tags.get("modelyard.data_md5", ""),
                data_commit=data[data_version].commit if data_version in data else "",
                commit=run.tags.get("modelyard.commit", ""),
                dirty=run.tags.get("modelyard.dirty", ""),
                run_id=run.run_id,
                model_digest=run.tags.get("modelyard.model_digest", ""),
                package_digest=digest,
                version=version,
                release_commit=release_commit,
                released=released.since if released else "",
                champion=now is not None and now.run_id == run.run_id,
            )
        )
    # A clone without the store still knows its releases, from the tags' own records.
    for digest, (version, release_commit, released) in releases.items():
        if digest not in seen and released is not None:
            chains.append(
                Chain(
                    data_version=released.data_version,
                    data_md5=released.data_md5,
                    data_commit=(
                        data[released.data_version].commit if released.data_version in data else ""
                    ),
                    commit=released.commit,
                    dirty="",
                    run_id=released.run_id,
                    model_digest=released.model_digest,
                    package_digest=digest,
                    version=version,
                    release_commit=release_commit,
                    released=released.since,
                    champion=now is not None and now.package_digest == digest,
                )
            )
    # A version that no model was trained on yet is a chain of one link.
    trained = {chain.data_version for chain in chains}
    for made in data.values():
        if made.version not in trained:
            chains.append(Chain(made.version, made.md5, made.commit))
    return chains


def _data_versions(project: Project) -> list[DataVersion]:
    return versions(project) if git.is_repo(project.root) else []


def _images(project: Project) -> dict[str, list[tuple[str, str]]]:
    """Package digest -> the images that hold it: reference and digest."""
    found: dict[str, list[tuple[str, str]]] = {}
    for record in images.known(project):
        found.setdefault(record.package_digest, []).append((record.reference, record.image_id))
    return found


def _with_images(chain: Chain, built: dict[str, list[tuple[str, str]]]) -> Chain:
    """Images are of a release; a run of the same package that was not released has none."""
    return replace(
        chain, images=tuple(built.get(chain.package_digest, ())) if chain.version else ()
    )


def _runs(project: Project) -> list[mlflow.RunInfo]:
    uri = tracking_uri(project)
    file = mlflow.sqlite_file(project.root, uri)
    if file is not None and not file.is_file():
        return []
    mlflow.preflight(project.root, uri)
    return mlflow.search_runs(open_store(project))


def _releases(project: Project) -> dict[str, tuple[str, str, ChampionRecord | None]]:
    """Package digest -> version, tagged commit, the record at the tag."""
    found: dict[str, tuple[str, str, ChampionRecord | None]] = {}
    for tag in git.tags(project.root, "model/v*"):
        content = git.show(project.root, f"{tag.name}:records/champion.json")
        record = msgspec.json.decode(content, type=ChampionRecord) if content else None
        if record is not None:
            version = tag.name.removeprefix("model/v")
            found[record.package_digest] = (version, tag.commit, record)
    return found
