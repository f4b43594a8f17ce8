"""What a new project's files will say: the settings that are inferred from the table, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard import project
from modelyard.errors import UsageError, capped
from modelyard.render import files, locks
from modelyard.render.pipeline import StageSpec
from modelyard.render.project_file import project_file
from modelyard.scaffold.advice import advising
from modelyard.scaffold.generated import texts as generated_texts
from modelyard.scaffold.generated import with_renderings
from modelyard.scaffold.report import Inferred
from modelyard.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from modelyard.records import Schema
    from modelyard.tables.reading import Raw
    from modelyard.tables.suggest import Suggestion

SAMPLE = 200_000
"""Rows that are enough to choose the split's seed: larger tables are dealt evenly by any."""


@dataclass(frozen=True)
class Plan:
    """Everything that will be written, decided before anything is.

    `texts` maps paths in the project to their content; the table goes to `settings.data.path`.
    """

    settings: Settings
    inferred: tuple[Inferred, ...]
    texts: dict[str, str]
    rows: int
    columns: int


def plan(
    name: str,
    table: Path,
    target: str,
    *,
    path: str,
    stages: Callable[[str], Sequence[StageSpec]],
    sections: Mapping[str, Mapping[str, Any]],
    call: str,
) -> Plan:
    """Read the table, infer the settings, render the files. Writes nothing.

    Args:
        path: where the table will lie, relative to the project.
        stages: the line's table of stages, for a raw table at a path.
        sections: section -> key -> value, which win over what is inferred.
        call: the command that asked, as far as its table, for what to type next.

    Raises:
        UsageError: the table does not exist; a section or key is unknown or makes no sense.
        DataInvalid: the table cannot be read or learned from (the target is absent, ...).
    """
    from modelyard.tables.reading import read_table

    told = sections.get("data", {})
    with advising(call, target, sections):
        raw = read_table(
            table,
            encoding=str(told.get("encoding", "auto")),
            delimiter=str(told.get("delimiter", "auto")),
        )
    with advising(call, target, sections, raw.frame.columns):
        settings, inferred = _settings(name, raw, target, path, sections)
    reasons = _by_key(inferred)
    texts = {
        project.FILE: project_file(settings, reasons),
        project.OVERRIDES: project.overrides_text({}),
        "README.md": files.readme(settings, rows=len(raw.frame), columns=raw.frame.width),
        "requirements.lock": locks.requirements_lock(),
        **with_renderings(generated_texts(settings, stages)),
    }
    return Plan(settings, tuple(inferred), texts, len(raw.frame), raw.frame.width)


def _settings(
    name: str, raw: Raw, target: str, path: str, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[Settings, list[Inferred]]:
    """The sections' keys, over what the table suggests; and what was inferred."""
    from modelyard.tables.schema import infer
    from modelyard.tables.suggest import suggest

    told = dict(sections.get("data", {}))
    told.pop("path", None)
    # The table is read as the person says: else no option could mend what is wrong with it.
    least = {"project": {"name": name}, "data": {"path": path, "target": target, **told}}
    data = project.settings_from(least, project.FILE).data
    found = suggest(raw.frame, data.target, delimiter=raw.delimiter, told=data)
    inferred: list[Inferred] = [
        ("table", f"{len(raw.frame):,} rows, {raw.frame.width} columns", _form(raw))
    ]
    tree: dict[str, dict[str, Any]] = {
        section: dict(values) for section, values in sections.items()
    }
    tree["project"] = {**tree.get("project", {}), "name": name}
    tree["data"] = {"path": path, "target": target, **_suggested(found, told, inferred), **told}
    settings = project.settings_from(tree, project.FILE)
    typed, schema = infer(raw.frame, settings.data, delimiter=raw.delimiter)
    if "seed" not in tree.get("split", {}) and settings.split.kind != "time":
        seed = _seed(typed, schema, settings)
        tree["split"] = {**tree.get("split", {}), "seed": seed}
        settings = project.settings_from(tree, project.FILE)
        inferred.append(
            ("split.seed", str(seed), "of 64 seeds, the one whose sides are most alike")
        )
    return settings, inferred


def project_name(folder: Path, wanted: str | None) -> str:
    """The project's name: the wanted one, else the folder's in letters that may stand there.

    Raises:
        UsageError: the wanted name has other characters, or the folder's has no letter.
    """
    if wanted is not None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", wanted):
            raise UsageError(
                f"{wanted!r} cannot be a project's name.",
                why="A name is letters, digits, - and _, starts with a letter, and has at most 63.",
                next_step="modelyard init churn --data TABLE.csv --target COLUMN",
            )
        return wanted
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-")
    plain = re.sub(r"^[^A-Za-z]+", "", plain)[:63]
    if not plain:
        raise UsageError(
            f"The folder's name {folder.name!r} has no letter to make a project's name of.",
            why="A name is letters, digits, - and _, and starts with a letter.",
            next_step="modelyard init … -S project.name=churn",
        )
    return plain


def _by_key(inferred: Sequence[Inferred]) -> dict[str, str]:
    """`section.key` -> every reason that was given for it."""
    found: dict[str, list[str]] = {}
    for what, _, why in inferred:
        key = what if what.startswith("split.") else f"data.{what.partition('.')[0]}"
        found.setdefault(key, []).append(why)
    return {key: capped(whys, 5) for key, whys in found.items()}


def _form(raw: Raw) -> str:
    if raw.encoding == "parquet":
        return "read as Parquet"
    return f"read as {raw.encoding}, delimiter {raw.delimiter!r}"


def _suggested(
    found: Suggestion, told: Mapping[str, Any], inferred: list[Inferred]
) -> dict[str, Any]:
    """The data section's keys that the table suggests and the person did not set."""
    values: dict[str, Any] = {}
    reasons = found.reasons
    taken = {told.get(key) for key in ("id", "time", "group")}
    for key, value in (
        ("task", found.task),
        ("positive", found.positive),
        ("id", found.id),
        ("time", found.time),
    ):
        if key in told or value is None or (key in ("id", "time") and value in taken):
            continue
        if key == "positive" and told.get("task", found.task) != "binary":
            continue
        values[key] = value
        inferred.append((key, value, reasons.get(key, "")))
    if "exclude" not in told:
        left_out = [name for name in found.excluded if name not in taken]
        values["exclude"] = left_out
        inferred += [("exclude", name, found.excluded[name]) for name in left_out]
    if "types" not in told:
        values["types"] = dict(found.types)
        inferred += [(f"types.{n}", kind, reasons.get(n, "")) for n, kind in found.types.items()]
    return values


def _seed(typed: pl.DataFrame, schema: Schema, settings: Settings) -> int:
    """The split's seed, chosen on the very keys that the split will use."""
    import polars as pl

    from modelyard.tables.folds import choose_seed, split_keys

    if len(typed) > SAMPLE:
        typed = typed.gather_every(len(typed) // SAMPLE)
    data = settings.data
    keys = split_keys(
        typed,
        target=schema.target,
        id_column=data.id,
        group=data.group,
        excluded=data.exclude,
        schema=schema,
    )
    target = typed[schema.target]
    if schema.task == "regression":
        y = target.cast(pl.Float64).to_numpy()
    else:
        y = (
            target.cast(pl.String)
            .cast(pl.Enum(schema.classes))
            .to_physical()
            .cast(pl.Int64)
            .to_numpy()
        )
    return choose_seed(keys, y, settings.split.valid, settings.split.test)
