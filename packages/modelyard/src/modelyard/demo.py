"""demo: the whole story on real data, in a project of its own.

Four months of flights make the first model. Autumn arrives and has drifted. Four more months become
a second data version; the model retrained on it beats the champion on the same held-out rows. Both
are scored on the autumn months, which neither has seen; then the data goes back to v1, whose
figures come back exactly, and forward again. Last, the champion becomes a container image, where an
engine answers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from modelyard import line
from modelyard.errors import ModelyardError, ToolFailed, UsageError
from modelyard.project import FILE, Project, load
from modelyard.records import ChampionRecord, EvaluateRecord, read_json, write_json
from modelyard.registry import champion
from modelyard.tools import git

if TYPE_CHECKING:
    from modelyard.tables.diff import TableDiff
    from modelyard.watch.drift import DriftRecord

NAME = "flights"
IMAGE = f"modelyard-demo-{NAME}"
TARGET = "late"
FILES = {
    "v1": "flights_v1_jan_apr.csv",
    "v2": "flights_v2_jan_aug.csv",
    "autumn": "flights_new_sep_dec.csv",
}


@dataclass(frozen=True)
class Packaged:
    """The image and what was found in it, or why there is none (`skipped`)."""

    reference: str = ""
    verified: bool = False
    summary: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Told:
    """The story's figures, as the closing summary prints them."""

    root: Path
    first: ChampionRecord
    second: ChampionRecord
    drift: DriftRecord
    diff: TableDiff
    autumn: dict[str, float]
    reverted: bool
    restored: bool
    graph: str
    summary: line.RunSummary
    image: Packaged
    made: tuple[Path, ...]


@dataclass(frozen=True)
class Voice:
    """How the story is told: a heading for each chapter, a line for each event."""

    chapter: Callable[[str], None]
    line: Callable[[str], None]


def data_folder() -> Path:
    """Where the bundled flights lie: in the source tree, or beside the installed package.

    Raises:
        ModelyardError: the files are not there.
    """
    here = Path(__file__).resolve()
    for base in (here.parent / "examples", *(parent / "examples" for parent in here.parents)):
        if (base / "flights" / FILES["v1"]).is_file():
            return base / "flights"
    raise ModelyardError(
        "The bundled flight data is missing.",
        why="The demo reads examples/flights/*.csv.",
        next_step="modelyard init NAME --data YOUR.csv --target COLUMN",
    )


def demo(folder: Path, voice: Voice, *, budget: str = "40s", replace: bool = False) -> Told:
    """Build the demonstration project in `folder`.

    Args:
        budget: wall-clock time of each of the two searches.
        replace: delete an earlier demonstration project in this place first.

    Raises:
        UsageError: the folder exists (and is not a demonstration, or `replace` is not set).
        ModelyardError: what a step raised.
    """
    _make_room(folder, replace)
    source = data_folder()
    voice.chapter("1/8  A project from a table: January to April")
    here = _start(folder, source, budget, voice)
    root = here.root

    voice.chapter("2/8  The first model, on a branch")
    git.switch(root, "feat/first-model", create=True)
    line.run(here, why="first model of the demonstration", say=voice.line)
    here = load(root)
    first = _champion(here)
    first_metrics = here.metrics.read_bytes()
    _merge(
        root,
        "feat/first-model",
        f"Merge the first model\n\nWhy: there was none.\nWhat: {first.model} v{first.version} on "
        f"data {first.data_version}.\nEvidence: test {first.metric} {first.value:.4f}; the gate "
        "passed, see records/gate.json.",
        voice,
    )

    voice.chapter("3/8  Autumn arrives, and has drifted")
    drift = _drift(here, source / FILES["autumn"])
    moved = ", ".join(f"{c.column} {c.psi:.2f}" for c in drift.columns[:4])
    voice.line(f"drift is {drift.verdict}; PSI of the columns that moved most: {moved}")
    git.add(root, ["records/drift.json"])
    git.commit(root, "chore: record the drift of September to December", ["records/drift.json"])

    voice.chapter("4/8  More data, on a branch: January to August; retrain, compare, release")
    git.switch(root, "feat/data-jan-aug", create=True)
    diff = _second_version(here, source, voice)
    summary = line.run(load(root), why="retrained on January to August", say=voice.line)
    here = load(root)
    second = _champion(here)
    compared = summary.gate.comparison
    fair = (
        f"on the same {compared.rows:,} held-out rows {compared.metric} went from "
        f"{compared.champion:.4f} to {compared.candidate:.4f} "
        f"({compared.confidence:.0%} interval of the gain {compared.low:+.4f} to "
        f"{compared.high:+.4f})"
        if compared
        else "see records/gate.json"
    )
    _merge(
        root,
        "feat/data-jan-aug",
        f"Merge data v2 and the model trained on it\n\nWhy: autumn drifted away from v1.\nWhat: "
        f"data v2, {second.model} v{second.version}.\nEvidence: {fair}.",
        voice,
    )

    voice.chapter("5/8  Both models on the autumn months that neither has seen")
    autumn = _autumn(here, source / FILES["autumn"], (first, second))
    for name, value in autumn.items():
        voice.line(f"{name}: {second.metric} {value:.4f}")

    voice.chapter("6/8  Back to data v1, whose figures must come back exactly, and forward again")
    reverted = _travel(root, "v1", first_metrics, voice)
    restored = _travel(root, "v2", git.show(root, "HEAD:metrics.json") or b"", voice)

    voice.chapter("7/8  The champion as a container image, where an engine answers")
    packaged = _package(load(root), voice)

    voice.chapter("8/8  What is handed over: model card, one-page summary, report, bundle")
    made = _hand_over(root)
    return Told(
        root=root,
        first=first,
        second=second,
        drift=drift,
        diff=diff,
        autumn=autumn,
        reverted=reverted,
        restored=restored,
        graph=git.log_graph(root, 14),
        summary=summary,
        image=packaged,
        made=made,
    )


def _hand_over(root: Path) -> tuple[Path, ...]:
    """Card and summary (which git keeps), then the report, then all of it as one zip."""
    from modelyard import reporting
    from modelyard.ship.bundle import bundle

    here = load(root)
    card, pdf = reporting.card(here)[0], reporting.summary(here)[0]
    papers = [card.name, "SUMMARY.md"]
    git.add(root, papers)
    git.commit(root, "docs: the model card and the summary of v2", papers)
    report = reporting.report(here)
    return (report, pdf, card, bundle(here).path)


def _make_room(folder: Path, replace: bool) -> None:
    if not folder.exists():
        return
    if replace and _is_demo(folder):
        shutil.rmtree(folder)
        return
    raise UsageError(
        f"{folder} exists already.",
        why="The demonstration builds its own project and overwrites nothing."
        if not replace
        else "It is not a demonstration project, so it was left alone.",
        next_step="modelyard demo ANOTHER-NAME"
        + (" (or --replace)" if not replace and _is_demo(folder) else ""),
    )


def _is_demo(folder: Path) -> bool:
    try:
        tree = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
        found = (tree["project"]["name"], tree["data"]["target"], tree["image"]["name"])
        return found == (NAME, TARGET, IMAGE)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False


def _start(folder: Path, source: Path, budget: str, voice: Voice) -> Project:
    from modelyard.scaffold.init import init

    made = init(
        folder,
        source / FILES["v1"],
        TARGET,
        stages=line.stages,
        name=NAME,
        sections={
            "data": {"path": "data/raw/flights.csv"},
            "project": {"description": "Will a flight be more than 30 minutes late, or cancelled?"},
            "tune": {"budget": budget},
            "gate": {"limits": {"roc_auc": {"min": 0.65}}},
            # A name of its own: the demonstration moves its tags each time it is told.
            "image": {"name": IMAGE},
        },
    )
    for what, value, why in made.inferred:
        voice.line(f"{what}: {value} ({why})")
    return load(made.root)


def _champion(here: Project) -> ChampionRecord:
    found = champion.current(here)
    if found is None:
        raise ModelyardError(
            "The demonstration's model was not released.",
            why="See records/gate.json.",
            next_step="modelyard run",
        )
    return found


def _merge(root: Path, branch: str, message: str, voice: Voice) -> None:
    git.switch(root, "main")
    git.merge_no_ff(root, branch, message)
    voice.line(f"git: {branch} merged into main with --no-ff")


def _drift(here: Project, autumn: Path) -> DriftRecord:
    from modelyard.ship.champion import package_to_use, reading_options
    from modelyard.watch.drift import drift

    found = drift(package_to_use(here), autumn, **reading_options(here))
    write_json(here.record("drift"), found)
    return found


def _second_version(here: Project, source: Path, voice: Voice) -> TableDiff:
    from modelyard.versions.add import add
    from modelyard.versions.compare import compare

    made = add(here, source / FILES["v2"], "January to August")
    found = compare(load(here.root), "v1", "v2")
    voice.line(
        f"data/{made.version}: {made.message}; {found.rows_before:,} -> {found.rows_after:,} rows, "
        f"{found.added:,} added, {found.removed:,} removed"
    )
    return found


def _autumn(here: Project, autumn: Path, releases: tuple[ChampionRecord, ...]) -> dict[str, float]:
    """Each release's test metric on the unseen months."""
    import numpy as np

    from modelyard.models import metrics
    from modelyard.ship.champion import release_scores

    found = {}
    for record in releases:
        y, outputs = release_scores(here, record, autumn)
        value = metrics.score(record.metric, y, np.asarray(outputs))
        found[f"v{record.version} (trained on data {record.data_version})"] = value
    return found


def _travel(root: Path, version: str, expected: bytes, voice: Voice) -> bool:
    """Check the data version out, run, and compare metrics.json with what it was, byte for byte."""
    from modelyard.versions.checkout import checkout

    found = checkout(load(root), version)
    summary = line.run(load(root), say=voice.line)
    here = load(root)
    now = here.metrics.read_bytes()
    same = now == expected
    metric = read_json(here.record("evaluate"), EvaluateRecord).metric
    value = json.loads(now)[metric]
    verdict = "exactly as before" if same else "NOT as before"
    voice.line(f"data {version} ({found.md5[:12]}): {metric} {value:.6f}, every figure {verdict}")
    if summary.note:
        voice.line(summary.note)
    return same


def _forget_unfinished(here: Project) -> None:
    """Remove what a build wrote before it failed: the demonstration ends with a clean tree."""
    for name, told in (("image", "image/Dockerfile"), ("compose.yaml", "compose.yaml")):
        path = here.root / name
        if git.show(here.root, f"HEAD:{told}") is not None:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _package(here: Project, voice: Voice) -> Packaged:
    """Build the image, check it and write its report; without an engine, say what was skipped."""
    from modelyard.report import packaging
    from modelyard.ship.image.build import build
    from modelyard.ship.image.show import collect

    try:
        record = build(here, force=True).record
    except ToolFailed as error:
        skipped = f"{error.what} {error.why}".strip()
        _forget_unfinished(here)
        voice.line(f"skipped: {skipped}")
        voice.line(f"to make it later: {error.next_step}; then: modelyard image build")
        return Packaged(skipped=skipped)
    voice.line(f"{record.reference}: {record.size / 1e6:.0f} MB, built in {record.seconds:.0f} s")
    found = collect(here, compressed=False, say=voice.line)
    packaging.write(here, answers=found.answers, log=found.log, picture=found.picture)
    checked = [here.record("image-check").relative_to(here.root).as_posix()]
    git.add(here.root, checked)
    git.commit(here.root, f"build: image {record.reference} was looked into", checked)
    for check in found.check.checks:
        if check.name in ("predictions", "hardened", "memory") or not check.passed:
            voice.line(f"{'✓' if check.passed else '✗'} {check.name}: {check.message}")
    return Packaged(
        reference=record.reference,
        verified=found.check.passed,
        summary=f"{found.check.size / 1e6:.0f} MB, ready in {found.check.ready_seconds:.1f} s",
    )
