"""ci report: what a branch changes, in Markdown: metrics, gate, data, parameters, image, plots.

It reads records, at the base by git and here from the working tree; nothing is computed anew but
the difference of two data versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from modelyard.ci import marks, pictures
from modelyard.errors import ModelyardError, UsageError
from modelyard.models.metrics import METRICS
from modelyard.project import FILE, Project
from modelyard.records import (
    ChampionRecord,
    EvaluateRecord,
    GateRecord,
    Interval,
    read_if_there,
    write_bytes,
)
from modelyard.registry.champion import audit, current
from modelyard.tools import dvc, git

if TYPE_CHECKING:
    from modelyard.tables.diff import TableDiff

T = TypeVar("T")

MARKER = "<!-- modelyard: report on a proposed change -->"
"""The first line of a report: by it the comment is found again that is to be updated."""

ROWS = 20
"""Changed parameters and moved columns that are listed."""


@dataclass(frozen=True)
class Base:
    """The other side: a commit, and what stood there."""

    project: Project
    name: str
    commit: str

    def read(self, path: str) -> bytes | None:
        """A file at the base, or None."""
        return git.show(self.project.root, f"{self.commit}:{path}")

    def record(self, name: str, kind: type[T]) -> T | None:
        """A record at the base; one that cannot be read counts as none."""
        content = self.read(f"records/{name}.json")
        try:
            return msgspec.json.decode(content, type=kind) if content else None
        except msgspec.DecodeError:
            return None


def find_base(project: Project, name: str) -> Base:
    """Where the branch left `name` (or `origin/name`, in a clone that has no such branch).

    Raises:
        UsageError: there is no such branch here.
    """
    for rev in (name, f"origin/{name}"):
        if git.resolve(project.root, rev):
            commit = git.merge_base(project.root, rev, "HEAD") or git.rev_parse(project.root, rev)
            return Base(project, name, commit)
    raise UsageError(
        f"There is no branch {name!r} here to compare with.",
        why="Neither it nor origin's branch of that name is in this clone.",
        next_step=f"git fetch origin {name}:refs/remotes/origin/{name}",
    )


def write(project: Project, base: str, output: Path) -> str:
    """Write the report and, beside it, its pictures; return the text.

    Raises:
        UsageError: there is no such base.
    """
    there = find_base(project, base)
    drawn = pictures.draw(project.plots, there.read, output.parent / f"{output.stem}-plots")
    text = report(project, there, [path.relative_to(output.parent).as_posix() for path in drawn])
    write_bytes(output, text.encode())
    return text


def report(project: Project, base: Base, images: list[str]) -> str:
    """The report as Markdown."""
    sections = (
        _verdict(project, base),
        _metrics(project, base),
        _data(project, base),
        _parameters(project, base),
        _image(project, base),
        [f"![{Path(image).stem}]({image})" for image in images],
        [
            f"<sub>commit {(git.head(project.root) or '')[:8]} against {base.commit[:8]} of "
            f"{_plain(base.name)}</sub>"
        ],
    )
    body = "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))
    return f"{MARKER}\n{body}\n"


def _verdict(project: Project, base: Base) -> Iterator[str]:
    gate = read_if_there(project.record("gate"), GateRecord)
    champion = base.record("champion", ChampionRecord)
    moved = _moved(project, champion)
    if gate is None:
        yield f"## {project.name}: {moved or 'no candidate was judged yet'}"
        return
    before = base.record("gate", GateRecord)
    same = before is not None and before.model_digest == gate.model_digest
    verdict = "the gate **passed**" if gate.passed else "the gate **refused** the candidate"
    said = [moved or "the model is unchanged"] if same else [verdict, moved]
    if same and not gate.passed:  # a limit of this change is stricter than the model
        said = [verdict, *said]
    yield f"## {project.name}: {', '.join(filter(None, said))}"
    yield ""
    for check in gate.checks:
        yield f"- {'✓' if check.passed else '✗'} {_plain(check.message)}"
    if champion is None:
        yield f"- there is no champion on {_plain(base.name)} yet"
    else:
        yield (
            f"- champion on {_plain(base.name)}: {_plain(champion.model)} v{champion.version}, "
            f"{champion.metric} {champion.value:.4f}, data {champion.data_version or 'unversioned'}"
        )
    if found := gate.comparison:
        yield (
            f"- on the same {found.rows:,} held-out rows as champion v{found.champion_version}: "
            f"{found.metric} {found.champion:.4f} → {found.candidate:.4f}, improvement "
            f"{found.improvement:+.4f} ({found.confidence:.0%} interval {found.low:+.4f} to "
            f"{found.high:+.4f})"
        )


def _moved(project: Project, before: ChampionRecord | None) -> str:
    """How the champion moves with this change, such as `champion v2 → v1 (rollback: why)`."""
    now = current(project)
    if now is None or (before and before.package_digest == now.package_digest):
        return ""
    moves = [line for line in audit(project) if line.package_digest == now.package_digest]
    why = f" ({moves[-1].action}: {_plain(moves[-1].why)})" if moves else ""
    return f"champion {f'v{before.version} → ' if before else ''}v{now.version}{why}"


def _metrics(project: Project, base: Base) -> Iterator[str]:
    now = read_if_there(project.record("evaluate"), EvaluateRecord)
    if now is None:
        return
    before = base.record("evaluate", EvaluateRecord)
    yield f"### Metrics on {now.rows:,} held-out rows, with {now.confidence:.0%} intervals"
    yield ""
    yield f"| metric | {_plain(base.name)} | here | change | baseline |"
    yield "|---|---|---|---|---|"
    names = [now.metric, *(name for name in now.metrics if name != now.metric)]
    for name in names:
        here = now.metrics[name]
        old = before.metrics.get(name) if before else None
        change = f"{here.value - old.value:+.4f}{_better(name, here, old)}" if old else "new"
        baseline = f"{now.baseline[name]:.4f}" if name in now.baseline else "–"
        shown = f"**{name}**" if name == now.metric else name
        yield f"| {shown} | {_interval(old)} | {_interval(here)} | {change} | {baseline} |"
    if before:
        yield ""
        yield from marks.intervals(names, now.metrics, before.metrics)
    if before and before.rows != now.rows:
        yield ""
        yield (
            f"The held-out rows differ ({before.rows:,} then, {now.rows:,} now): the fair "
            "comparison is the gate's, above."
        )


def _interval(found: Interval | None) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]" if found else "–"


def _better(name: str, here: Interval, old: Interval) -> str:
    known = METRICS.get(name)
    if known is None or here.value == old.value:
        return ""
    return " ▲" if (here.value > old.value) == (known.direction == "maximize") else " ▼"


def _data(project: Project, base: Base) -> Iterator[str]:
    pointer = project.data_pointer.relative_to(project.root).as_posix()
    old, new = (
        dvc.read_pointer(base.read(pointer)),
        dvc.read_pointer(
            project.data_pointer.read_bytes() if project.data_pointer.is_file() else None
        ),
    )
    if new is None or (old and old.md5 == new.md5):
        yield f"### Data: unchanged{f' ({new.md5[:12]})' if new else ''}"
        return
    yield f"### Data: {old.md5[:12] if old else 'none'} → {new.md5[:12]}"
    yield ""
    try:
        found = _table_diff(project, base, old, new)
    except ModelyardError as error:
        yield f"The tables cannot be compared here: {_plain(error.what)}"
        return
    yield (
        f"{found.rows_before:,} → {found.rows_after:,} rows: {found.added:,} added, "
        f"{found.removed:,} removed, {found.changed:,} changed."
    )
    for change in found.schema_changes[:ROWS]:
        yield f"- {_plain(change)}"
    moved = [shift for shift in found.shifts if shift.psi >= 0.1][:ROWS]
    if moved:
        yield ""
        yield "| column | PSI | before | after |"
        yield "|---|---|---|---|"
        for shift in moved:
            yield (
                f"| {_plain(shift.column)} | {shift.psi:.3f} | {_plain(shift.before)} | "
                f"{_plain(shift.after)} |"
            )


def _table_diff(
    project: Project, base: Base, old: dvc.Pointer | None, new: dvc.Pointer
) -> TableDiff:
    from modelyard.registry.data_versions import versions
    from modelyard.versions.compare import WORKING, compare

    names = {version.md5: version.version for version in versions(project)}
    if old is None or old.md5 not in names:
        raise UsageError(
            f"The table of {base.name} is no data version.",
            why="Data versions are git tags data/vN, and a clone may lack them.",
            next_step="git fetch --tags",
        )
    here = WORKING if project.data.is_file() else names.get(new.md5)
    if here is None:
        raise UsageError(
            "The table of this branch is no data version.",
            why="It is neither here nor at a git tag data/vN.",
            next_step="git fetch --tags ; modelyard data add TABLE",
        )
    return compare(project, names[old.md5], here)


def _parameters(project: Project, base: Base) -> Iterator[str]:
    before = _flat(_yaml(base.read(FILE)))
    after = _flat(_yaml((project.root / FILE).read_bytes()))
    changed = [
        key
        for key in (*after, *(k for k in before if k not in after))
        if before.get(key) != after.get(key)
    ]
    if not changed:
        yield "### Parameters: unchanged"
        return
    yield f"### Parameters: {len(changed)} changed"
    yield ""
    yield f"| key | {_plain(base.name)} | here |"
    yield "|---|---|---|"
    for key in changed[:ROWS]:
        yield f"| `{key}` | {_code(before.get(key))} | {_code(after.get(key))} |"
    if len(changed) > ROWS:
        yield f"| and {len(changed) - ROWS} more | | |"


def _yaml(content: bytes | None) -> Any:
    try:
        return yaml.safe_load(content or b"{}")
    except yaml.YAMLError:
        return {}


def _flat(tree: Any, at: str = "") -> dict[str, str]:
    if isinstance(tree, Mapping) and tree:
        return {
            k: v
            for key, value in tree.items()
            for k, v in _flat(value, f"{at}.{key}".lstrip(".")).items()
        }
    return {at: json.dumps(tree, ensure_ascii=False, default=str)}


FIGURES = {
    "size": ("image size", 1e-6, "MB"),
    "package_bytes": ("package", 1e-3, "kB"),
    "p50_ms": ("latency p50", 1.0, "ms"),
    "p99_ms": ("latency p99", 1.0, "ms"),
    "cold_start_seconds": ("cold start", 1.0, "s"),
}
"""Figures of what is served: key in a record -> name, factor, unit."""


def _image(project: Project, base: Base) -> Iterator[str]:
    rows = []
    for name in ("pack", "image", "latency"):
        path = project.record(name)
        now = _numbers(path.read_bytes() if path.is_file() else None)
        before = _numbers(base.read(f"records/{name}.json"))
        for key, (shown, factor, unit) in FIGURES.items():
            if key in now:
                old, new = before.get(key), now[key] * factor
                was = f"{old * factor:,.1f} {unit}" if old is not None else "–"
                change = f"{new - old * factor:+,.1f} {unit}" if old is not None else "new"
                rows.append(f"| {shown} | {was} | {new:,.1f} {unit} | {change} |")
    if rows:
        yield "### Size and speed"
        yield ""
        yield f"| | {_plain(base.name)} | here | change |"
        yield "|---|---|---|---|"
        yield from rows


def _numbers(content: bytes | None) -> dict[str, float]:
    try:
        tree = json.loads(content or b"{}")
    except ValueError:
        return {}
    return {k: float(v) for k, v in tree.items() if isinstance(v, int | float)}


def _code(value: str | None) -> str:
    return "–" if value is None else f"`{value.replace('|', chr(92) + '|').replace('`', '')[:120]}`"


def _plain(text: str) -> str:
    """Words for Markdown: names out of data must not become markup, mentions or cells."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("@", "@\u200b").split())
