"""Take the README's pictures from a demonstration project: `make pictures`.

What a missing program keeps from being taken is named; the others are taken all the same.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard import project, reporting
from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import EvaluateRecord, read_json
from modelyard.report.tour import servers, tracker
from modelyard.tools import browser, screen

PICTURES = Path(__file__).resolve().parent / "pictures"
SIZE = (1280, 800)
RECORDING = "recording.mp4"
TIME = re.compile(r"00:(\d\d):(\d\d,\d{3})")
MOST = 250_000
"""Bytes of a picture at the most."""

COLOURS = (256, 128, 64, 32)
"""A palette of so many colours, and of fewer where the picture is still too large."""


def main(folder: Path) -> int:
    """Take them; 1 where one could not be taken."""
    here = project.load(folder)
    said: list[str] = []
    for name, take in (
        ("report.png", _report),
        ("page.png", _page),
        ("mlflow.png", _mlflow),
        ("recording.png", _frame),
    ):
        target = PICTURES / name
        try:
            take(here, target)
            _reduce(target)
        except Exception as error:  # whatever a page or a program does: the others are still taken
            said.append(f"{name}: {error}")
        else:
            print(f"docs/pictures/{name}  {target.stat().st_size / 1000:.0f} kB")
    for line in said:
        print(line, file=sys.stderr)
    return bool(said)


def _report(here: Project, target: Path) -> None:
    _look(reporting.report(here).as_uri(), target, lambda page: None)


def _page(here: Project, target: Path) -> None:
    """The try-it page with an answer on it."""

    def ask(page: Any) -> None:
        page.wait_for_selector(".headline")
        page.get_by_role("button", name="An example").click()
        page.wait_for_timeout(500)
        page.get_by_role("button", name="Predict", exact=True).click()

    port = servers.free_port()
    with _running(here, servers.serve(port), port) as address:
        _look(address, target, ask)


def _mlflow(here: Project, target: Path) -> None:
    """MLflow's own page with the project's runs."""
    port = servers.free_port()
    with _running(here, servers.mlflow(here.root, port), port) as address:
        tracked = tracker.ask(address)
        if tracked is None:
            raise ModelyardError(
                "There is no run to show.", why="The store holds none.", next_step="modelyard run"
            )

        def runs(page: Any) -> None:
            tracker.open_list(page, tracked, servers.PATIENCE)
            tracker.tidy(page, tracked, metric)
            tracker.open_list(page, tracked, servers.PATIENCE)

        metric = read_json(here.record("evaluate"), EvaluateRecord).metric
        _look(tracked.list, target, runs)


def _frame(here: Project, target: Path) -> None:
    """A frame of the recording: the end of its longest caption, that of the run in the terminal."""
    film = here.reports / RECORDING
    if not film.is_file():
        raise ModelyardError(
            "There is no recording.", why=f"{film} is missing.", next_step="make record"
        )
    text = film.with_suffix(".srt").read_text(encoding="utf-8")
    times = [60.0 * int(m) + float(s.replace(",", ".")) for m, s in TIME.findall(text)]
    spans = list(zip(times[::2], times[1::2], strict=True))
    start, end = max(spans, key=lambda span: span[1] - span[0])
    screen.still(film, max(start, end - 1.0), target)


@contextmanager
def _running(here: Project, command: list[str], port: int) -> Iterator[str]:
    """A server of the project; gives its address once it answers."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as logs:
        log = Path(logs, "server.log")
        with servers.running(command, port, here.root, log) as address:
            if not servers.answers(address):
                said = log.read_text(encoding="utf-8", errors="replace").splitlines()
                raise ModelyardError(
                    "The server did not start.",
                    why=said[-1] if said else "It wrote nothing.",
                    next_step=" ".join(command),
                )
            yield address


def _look(address: str, target: Path, ready: Callable[[Any], None]) -> None:
    """Open a page, wait until it is ready, and take its picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with browser.page(size=SIZE) as page:
        page.set_default_timeout(1000 * servers.PATIENCE)
        page.goto(address)
        ready(page)
        page.wait_for_timeout(2500)
        page.screenshot(path=str(target))


def _reduce(path: Path) -> None:
    """Give a picture a palette; pages have few colours, and these files live in git."""
    with tempfile.TemporaryDirectory() as folder:
        for colours in COLOURS:
            part = Path(folder, f"{colours}.png")
            palette = f"split[a][b];[a]palettegen=max_colors={colours}:reserve_transparent=0[p]"
            command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(path)]
            command += ["-vf", f"{palette};[b][p]paletteuse=dither=none", "-update", "1", str(part)]
            subprocess.run(command, check=True)
            if part.stat().st_size <= MOST:
                break
        path.write_bytes(part.read_bytes())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-project")))
