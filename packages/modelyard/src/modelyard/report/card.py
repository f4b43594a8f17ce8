"""MODEL_CARD.md: a header that hubs read, and sections from records; a person's words stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import write_bytes
from modelyard.report import kept, reasons, words
from modelyard.report.gather import Gathered, evaluated
from modelyard.report.kept import Merged

FILE = "MODEL_CARD.md"
_HEADER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_MARKS = re.compile(r"[\\`*|]|(?<!\w)_|_(?!\w)")
"""What Markdown would read; a low line between letters is none, and stays readable."""

# The names of the hub's own list; a metric that it does not know keeps ours.
HUB_METRICS = {
    "average_precision": "average_precision",
    "rmse": "rmse",
    "mae": "mae",
    "r2": "r_squared",
}


def write(state: Gathered) -> tuple[Path, Merged]:
    """Write or bring up to date the project's MODEL_CARD.md.

    Raises:
        ModelyardError: there has been no run yet; a header that is not YAML.
    """
    path = state.project.root / FILE
    evaluated(state)
    old = path.read_text(encoding="utf-8") if path.is_file() else None
    found = _HEADER.match(old) if old else None
    header = _header(state, _read_header(path, found[1]) if found else {})
    body = old[found.end() :] if old is not None and found else old
    parts = sections(state)
    merged = kept.merge(body, parts, _fresh(state.project, parts))
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=100)
    gap = "" if merged.text.startswith("\n") else "\n"
    whole = f"---\n{text}---\n{gap}{merged.text}"
    write_bytes(path, (whole.rstrip() + "\n").encode())
    return path, Merged(whole, merged.kept)


def _read_header(path: Path, text: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelyardError(
            f"The header of {path.name} is not valid YAML.",
            why=str(error),
            next_step=f"edit {path}, or delete its header: it is written anew",
        ) from error
    return tree if isinstance(tree, dict) else {}


def _header(state: Gathered, old: dict[str, Any]) -> dict[str, Any]:
    """Our keys over the author's; keys that are not ours stay, tags are joined."""
    evaluation, schema, project = evaluated(state), state.schema, state.project
    task = schema.task if schema else "binary"
    pipeline = "tabular-regression" if task == "regression" else "tabular-classification"
    names = list(evaluation.metrics)
    ours = ["tabular", task, "onnx", "modelyard"]
    tags = [*ours, *(tag for tag in old.get("tags") or [] if tag not in ours)]
    version = state.data_version
    results = {
        "task": {"type": pipeline},
        "dataset": {
            "name": f"{project.name} {version}".strip(),
            "type": project.settings.data.path,
            "split": "test",
            **({"revision": state.ingest.source_md5} if state.ingest else {}),
        },
        "metrics": [
            {
                "type": HUB_METRICS.get(name, name),
                "name": words.metric_title(name),
                "value": entry.value,
                "verified": False,
            }
            for name, entry in evaluation.metrics.items()
        ],
    }
    made = {
        "license": old.get("license", "other"),
        "library_name": "onnx",
        "pipeline_tag": pipeline,
        "tags": tags,
        "metrics": [HUB_METRICS.get(name, name) for name in names],
        "model-index": [{"name": project.model_name, "results": [results]}],
    }
    return made | {key: value for key, value in old.items() if key not in made}


def _fresh(project: Project, parts: dict[str, str]) -> str:
    blocks = "\n\n".join(kept.section(name, text) for name, text in parts.items())
    return (
        f"# {project.model_name}\n\n"
        "<!-- Edit anything: a section that you change is yours and stays as you wrote it; "
        "empty it to\n"
        "have it filled from the records again. `modelyard card` brings the others up to "
        "date. -->\n\n"
        f"{blocks}\n"
    )


def sections(state: Gathered) -> dict[str, str]:
    """Section -> its generated Markdown, in the order of the card."""
    return {
        "details": _details(state),
        "intended-use": _intended(state),
        "not-for": _not_for(state),
        "data": _data(state),
        "evaluation": _evaluation(state),
        "slices": _slices(state),
        "how-chosen": "## How it was chosen\n\n"
        + _join(reasons.family(state), reasons.tuning(state), reasons.threshold(state)),
        "limits": "## Limits\n\n" + _list(reasons.limits(state)),
        "use": _use(state),
        "provenance": _provenance(state),
    }


def _join(*parts: str) -> str:
    return "\n\n".join(_text(part) for part in parts if part)


def _list(lines: list[str]) -> str:
    return (
        "\n".join(f"- {_text(line)}" for line in lines)
        or "- The records name none; that is not the same as none."
    )


def _text(value: str) -> str:
    """Text for Markdown: what a column is called must not become a mark-up or a mark of ours."""
    return _MARKS.sub(r"\\\g<0>", value).replace("<", "&lt;").replace("\n", " ")


def _code(value: str) -> str:
    """A code span, in which nothing is escaped: its fence is longer than any within."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", value)), default=0))
    gap = " " if value[:1] == "`" or value[-1:] == "`" else ""
    # The marks of our sections are comments: a name must not bring one.
    text = value.replace("\n", " ").replace("<!--", "<! --")
    return f"{fence}{gap}{text}{gap}{fence}"


def _details(state: Gathered) -> str:
    evaluation, schema = evaluated(state), state.schema
    chosen = state.study.chosen if state.study else ()
    families = " + ".join(dict.fromkeys(member.family for member in chosen)) or "unknown"
    released = (
        f"released as v{state.released_as}"
        if state.released_as
        else "a candidate that is not released"
    )
    if state.champion and not state.is_champion:
        released += f" (the champion is v{state.champion.version}, another model)"
    main = evaluation.metrics[evaluation.metric]
    return (
        f"## Model\n\n{_text(reasons.question(state))}\n\n"
        f"A {families} model as one ONNX graph, {released}. "
        f"{schema.task.capitalize() if schema else 'Task unknown'}; "
        f"test {words.metric_title(evaluation.metric)} **{words.number(main.value)}** "
        f"({words.level(evaluation.confidence)} interval {words.number(main.low)} to "
        f"{words.number(main.high)})."
    )


def _intended(state: Gathered) -> str:
    schema = state.schema
    rows = "rows like those that it was trained on"
    stamp = (
        next((c for c in schema.columns if c.role == "time" and c.minimum is not None), None)
        if schema
        else None
    )
    if stamp is not None:
        rows += f" ({_text(stamp.name)} from {stamp.minimum} to {stamp.maximum})"
    return (
        "## Intended use\n\n"
        f"To answer the question above for {rows}, with every column that the signature names. "
        "Who decides what on its answer is for the author to say: replace this text."
    )


def _not_for(state: Gathered) -> str:
    target = state.schema.target if state.schema else state.project.settings.data.target
    return (
        "## What it must not be used for\n\n"
        f"- Deciding by itself about people: it was judged on {_text(target)} in held-out "
        f"rows alone, not on what a "
        "decision does to anybody.\n"
        "- Rows from another source, time or place than the data below, without `modelyard "
        "drift` first.\n"
        "- Saying why something happens: importances are associations, not causes."
    )


def _data(state: Gathered) -> str:
    lines = ["## Data", "", _text(reasons.data(state))]
    if state.ingest and state.ingest.class_counts and len(state.ingest.class_counts) <= 20:
        total = sum(state.ingest.class_counts.values()) or 1
        lines += ["", "| class | rows | share |", "|---|---:|---:|"]
        lines += [
            f"| {_text(name)} | {rows} | {words.share(rows / total)} |"
            for name, rows in state.ingest.class_counts.items()
        ]
    if state.schema:
        named = [column.name for column in state.schema.features]
        shown = ", ".join(_code(name) for name in named[:30])
        lines += [
            "",
            f"Features: {shown}" + (f" and {len(named) - 30} more." if len(named) > 30 else "."),
        ]
        left = [column for column in state.schema.columns if column.role == "excluded"]
        if left:
            lines += ["", "Left out: " + ", ".join(_code(c.name) for c in left[:30]) + "."]
    return "\n".join(lines)


def _evaluation(state: Gathered) -> str:
    evaluation = evaluated(state)
    lines = [
        "## Evaluation",
        "",
        f"{words.count(evaluation.rows)} held-out rows; {words.level(evaluation.confidence)} "
        f"bootstrap intervals, "
        f"{words.count(evaluation.resamples)} resamples.",
        "",
        "| metric | value | interval | baseline |",
        "|---|---:|---:|---:|",
    ]
    for name, entry in evaluation.metrics.items():
        lines.append(
            f"| {words.metric_title(name)} | {words.number(entry.value)} | "
            f"{words.number(entry.low)} to "
            f"{words.number(entry.high)} | {words.number(evaluation.baseline.get(name))} |"
        )
    if state.gate:
        lines += ["", f"The gate {'passed' if state.gate.passed else 'refused'} it:", ""]
        lines += [
            f"- {'✓' if check.passed else '✗'} {_text(check.message)}"
            for check in state.gate.checks
        ]
    return "\n".join(lines)


def _slices(state: Gathered) -> str:
    evaluation = evaluated(state)
    found = reasons.worst(evaluation, 8)
    if not found and evaluation.slices:
        return (
            "## Slices\n\nNone of the slices does worse than all rows together: "
            f"{words.count(len(evaluation.slices))} were looked at."
        )
    if not found:
        return "## Slices\n\nNo category or boolean column has a level with enough test rows."
    lines = [
        "## Slices that do worst",
        "",
        f"| column | level | rows | {words.metric_title(evaluation.metric)} | baseline |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {_text(part.column)} | {_text(part.level)} | {words.count(part.rows)} | "
        f"{words.number(part.value)} | {words.number(part.baseline)} |"
        for part in found
    ]
    return "\n".join(lines)


def _use(state: Gathered) -> str:
    name = state.project.model_name
    # Of a model that has been replaced, the card's reader gets that very version.
    past = state.released_as if not state.is_champion else ""
    address = f"models:/{name}/{past}" if past else f"models:/{name}@champion"
    other = (
        f"\n\nThis loads the champion, v{state.champion.version}: another model than the one "
        "described here."
        if state.champion and not state.is_champion and not past
        else ""
    )
    return (
        "## How to use it\n\n```\nmodelyard serve                          # HTTP, with a "
        "page to try it\n"
        "modelyard predict new.csv -o scored.csv  # a table\n```\n\n"
        f"```python\nimport mlflow\n\nmodel = "
        f'mlflow.pyfunc.load_model("{address}")\n```{other}'
    )


def _provenance(state: Gathered) -> str:
    rows = [("run", state.run_id), ("commit", state.run_commit)]
    if state.pack:
        rows += [
            ("model digest", state.pack.model_digest),
            ("package digest", state.pack.package_digest),
        ]
    rows += [
        ("data version", state.data_version),
        ("data md5", state.data_md5),
    ]
    lines = ["## Provenance", "", "| link | value |", "|---|---|"]
    lines += [f"| {name} | `{value}` |" for name, value in rows if value]
    return "\n".join([*lines, "", "`modelyard reproduce` refits it from these and compares."])
