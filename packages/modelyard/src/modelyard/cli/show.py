"""How things look in a terminal: stage lines, live progress, small tables. Plain where no TTY."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from modelyard.project import Project
from modelyard.records import (
    EvaluateRecord,
    GateRecord,
    IngestRecord,
    PackRecord,
    Record,
    SplitRecord,
    StudyRecord,
    TrainRecord,
)
from modelyard.settings import Settings

if TYPE_CHECKING:
    from modelyard.checks.finding import Finding

PLAIN_EVERY = 5.0
"""Without a TTY a line of progress is printed at most this often, in seconds."""

WIDTH = 88
"""Characters of a stage's summary."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def is_terminal() -> bool:
    """Whether a live line can be drawn."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def number(value: float | None, digits: int = 4) -> str:
    """A metric as people read it: 0.7412, 26,738."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def size(value: int) -> str:
    """Bytes as people read them."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value} bytes"


def as_json(value: Any) -> None:
    """Print a struct, dataclass or plain value as one JSON document."""
    plain = msgspec.to_builtins(value, enc_hook=str)  # paths as texts
    click.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def findings(found: Sequence[Finding], as_document: bool) -> None:
    """Print what checks have found, each with its fix; exit code 1 where one is an error."""
    if as_document:
        as_json(found)
    else:
        marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
        for finding in found:
            mark, colour = marks[finding.state]
            click.secho(mark, fg=colour, nl=False)
            click.echo(f" {finding.name:<14} {finding.message}")
            if finding.fix:
                click.echo(f"     fix: {finding.fix}")
    if any(finding.state == "error" for finding in found):
        raise SystemExit(1)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print aligned columns under a head; `right` are the columns set flush right."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    for place, row in enumerate(cells):
        line = "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        click.secho(line, bold=place == 0)


class StageLine:
    """One stage's line: a live one while it works, a lasting one when it is done."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self._text = ""
        self._live = is_terminal()
        self._ended = threading.Event()
        self._last_plain = time.monotonic()
        self._best: float | None = None

    def notify(self, progress: Any) -> None:
        """Show a trial that has ended (a stages.tune.Progress)."""
        left = (
            ""
            if progress.budget is None
            else (f" · {max(0.0, progress.budget - progress.elapsed):.0f} s left")
        )
        count = f"{progress.finished}" + (f"/{progress.wanted}" if progress.wanted else "")
        self._text = (
            f"trial {count} {progress.family} · best {progress.best_family or '–'} "
            f"{progress.metric} {number(progress.best)}{left}"
        )
        improved = progress.best != self._best
        self._best = progress.best
        now = time.monotonic()
        if not self._live and (improved or now - self._last_plain >= PLAIN_EVERY):
            self._last_plain = now
            click.echo(f"  {self.name:<9} {self._text}")

    def done(self, record: Record, seconds: float) -> None:
        """Replace the live line by what the stage found."""
        self._stop()
        mark = click.style("✓", fg="green")
        text = summary(record)
        text = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
        click.echo(f"{mark} {self.name:<9} {text:<{WIDTH}} {seconds:5.1f} s")

    def _draw(self) -> None:
        started = time.monotonic()
        step = 0
        while not self._ended.wait(0.12):
            spin = SPINNER[step % len(SPINNER)]
            step += 1
            text = self._text or f"{time.monotonic() - started:.0f} s"
            sys.stdout.write(f"\r\x1b[2K{spin} {self.name:<9} {text}"[:200])
            sys.stdout.flush()

    def _start(self) -> None:
        if self._live:
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def _stop(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            if self._live:
                self._thread.join()
                sys.stdout.write("\r\x1b[2K")
                sys.stdout.flush()


@contextmanager
def stage_line(name: str, settings: Settings) -> Iterator[StageLine]:
    """Show a stage while the block runs; clears the live line on an error."""
    shown = StageLine(name, settings)
    shown._start()
    try:
        yield shown
    finally:
        shown._stop()


def summary(record: Record) -> str:
    """What a person wants to know of a stage, in one line."""
    say: dict[type[Record], Callable[[Any], str]] = {
        IngestRecord: _ingest,
        SplitRecord: lambda r: " · ".join(f"{side} {n:,}" for side, n in r.rows.items()),
        StudyRecord: _study,
        TrainRecord: lambda r: (
            f"{' + '.join(m.family for m in r.members)} on {r.rows:,} rows, "
            f"graph {r.graph_bytes / 1024:,.0f} kB"
        ),
        EvaluateRecord: _evaluate,
        PackRecord: lambda r: (
            f"parity {r.parity_difference:.1e} on {r.parity_rows:,} + {r.parity_mutated_rows:,} "
            f"rows · model {r.model_digest[:12]}"
        ),
        GateRecord: lambda r: (
            f"passed, {len(r.checks)} check{'s' * (len(r.checks) != 1)}" if r.passed else "refused"
        ),
    }
    return say[type(record)](record)


def _ingest(record: IngestRecord) -> str:
    found = len(record.findings)
    text = f"{record.rows:,} rows"
    if record.target_missing:
        text += f" ({record.target_missing:,} without a target dropped)"
    if found:
        text += f" · {found} finding{'' if found == 1 else 's'}: {record.findings[0].message}"
    return text


def _study(record: StudyRecord) -> str:
    families = "+".join(dict.fromkeys(member.family for member in record.chosen))
    resumed = f", {record.resumed_trials} resumed" if record.resumed_trials else ""
    return (
        f"{len(record.trials)} trials{resumed} · best {families} {record.metric} "
        f"{number(record.score)} (out of fold)"
    )


def _evaluate(record: EvaluateRecord) -> str:
    found = record.metrics[record.metric]
    return (
        f"test {record.metric} {number(found.value)} "
        f"[{number(found.low)}, {number(found.high)}] · "
        f"baseline {number(record.baseline.get(record.metric))}"
    )


def deliverable(here: Project, path: Path, kept: Sequence[str]) -> None:
    """The path of what was made, and which of its sections are a person's."""
    click.echo(str(path.relative_to(here.root)))
    if kept:
        click.echo(f"  kept as you wrote it: {', '.join(kept)}")
