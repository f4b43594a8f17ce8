"""release: the files are pushed, the alias moves, the audit is written, the commit is tagged.

What others will be led to is pushed before anything leads to it. Each step is safe to repeat: a
release that was killed half-way is completed by the next run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from modelyard.errors import ToolFailed
from modelyard.project import Project
from modelyard.records import (
    AuditLine,
    ChampionRecord,
    EvaluateRecord,
    GateRecord,
    PackRecord,
    read_json,
    write_bytes,
    write_json,
)
from modelyard.registry import champion
from modelyard.registry.lineage import OWN_FILES, Lineage
from modelyard.ship.person import person
from modelyard.ship.track import open_store
from modelyard.tools import dvc, git, mlflow

ALIAS = "champion"


def release(
    project: Project,
    verdict: GateRecord,
    run_id: str,
    origin: Lineage,
    *,
    why: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> ChampionRecord | None:
    """Make the candidate the champion; returns None where it was already.

    Args:
        why: the reason that the audit line carries.
        say: called with one line of text where something is left to the person.

    Raises:
        ToolFailed: git, the registry or DVC's remote refused; running again goes on from there.
            Without the remote nothing has moved yet.
    """
    now = champion.current(project)
    digest = verdict.candidate_digest
    # The same model packed again (its lineage differs) would be a release of nothing.
    same = now is not None and now.model_digest == verdict.model_digest
    if now is not None and same and champion.is_whole(project, now):
        return None
    _share(project, now, say)
    packed = read_json(project.record("pack"), PackRecord)
    evaluation = read_json(project.record("evaluate"), EvaluateRecord)
    store = open_store(project)
    uri = mlflow.package_uri(store, run_id)
    assert uri is not None, "track logs the package before release"
    registered = mlflow.register(
        store,
        uri,
        project.model_name,
        {
            mlflow.DIGEST_TAG: digest,
            "modelyard.model_digest": packed.model_digest,
            "modelyard.data_version": origin.data_version,
            "modelyard.commit": origin.commit,
        },
    )
    version = _version(project, registered, digest)
    made = ChampionRecord(
        model=project.model_name,
        version=version,
        package_digest=digest,
        model_digest=packed.model_digest,
        run_id=run_id,
        data_version=origin.data_version,
        data_md5=origin.data_md5,
        commit=origin.commit,
        metric=evaluation.metric,
        value=evaluation.metrics[evaluation.metric].value,
        since=now_text(),
    )
    mlflow.set_alias(store, project.model_name, ALIAS, registered)
    if now is None or now.package_digest != digest:
        write_json(project.record("champion"), made)
    moves = champion.audit(project)
    # A release that was killed between these two finds its line missing, or there.
    if not moves or moves[-1].package_digest != digest:
        before = moves[-1].to_version if moves else None
        note(project, "release", made, before, why or _reason(verdict))
    champion.keep(project, digest)
    figure = f"{made.metric} {made.value:.4f}"
    git.add(project.root, present(project, OWN_FILES))
    git.commit(
        project.root,
        f"release: {made.model} v{version}, {figure} on data {made.data_version or 'unversioned'}",
        present(project, OWN_FILES),
    )
    tag = f"model/v{version}"
    if tag not in {entry.name for entry in git.tags(project.root, "model/v*")}:
        git.tag(project.root, tag, f"{made.model} v{version}: {figure}")
    return made


def note(
    project: Project,
    action: str,
    made: ChampionRecord,
    before: str | None,
    why: str,
) -> None:
    """Append to the audit: who, when, why, from, to. The file is rewritten whole.

    A move that the last line tells already is not told again: it was killed before its end.
    """
    past = champion.audit(project)
    told = (action, before, made.package_digest)
    if past and (past[-1].action, past[-1].from_version, past[-1].package_digest) == told:
        return
    line = AuditLine(
        action=action,  # type: ignore[arg-type]
        who=person(project),
        when=now_text(),
        why=why,
        model=made.model,
        from_version=before,
        to_version=made.version,
        package_digest=made.package_digest,
        run_id=made.run_id,
    )
    lines = [msgspec.json.encode(entry) for entry in (*past, line)]
    write_bytes(project.audit, b"\n".join(lines) + b"\n")


def present(project: Project, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that exist in the project."""
    return [name for name in names if (project.root / name).exists()]


def _share(project: Project, now: ChampionRecord | None, say: Callable[[str], None]) -> None:
    """Push data, model and package, so that the release's tag leads to them from anywhere."""
    remote = dvc.default_remote(project.root)
    if remote is None:
        say(
            "warning: there is no DVC remote, so the release's files stay on this machine; "
            "to share them: dvc remote add -d NAME URL ; dvc push --all-tags"
        )
        return
    try:
        dvc.share(project.root)
    except ToolFailed as error:
        stays = f"Champion v{now.version} stays" if now else "There is no champion yet"
        raise ToolFailed(
            f"Nothing was released: the files could not be pushed to the DVC remote {remote!r}.",
            why=f"{error.why.rstrip('.')}. {stays}; the candidate waits in package/.",
            next_step="dvc push, to see that it works ; modelyard run, which goes on from here "
            "(with --no-release it does without)",
        ) from error


def _version(project: Project, registered: str, digest: str) -> str:
    """The registry's number, or the next free tag where a clone's fresh registry counts from 1."""
    past = champion.released(project, digest)
    if past is not None:
        return past
    taken = {
        int(number)
        for entry in git.tags(project.root, "model/v*")
        if (number := entry.name.removeprefix("model/v")).isdigit()
    }
    return registered if int(registered) not in taken else str(max(taken) + 1)


def _reason(verdict: GateRecord) -> str:
    return "; ".join(check.message for check in verdict.checks) or "the gate has no checks"


def now_text() -> str:
    """The moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
