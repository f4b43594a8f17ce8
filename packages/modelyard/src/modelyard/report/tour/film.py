"""Make the film: a working copy, a screen, servers, scenes; then captions, voice and the cut."""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError, ToolFailed
from modelyard.project import Project
from modelyard.records import write_bytes
from modelyard.report.gather import Gathered, evaluated
from modelyard.report.tour import captions, servers, tracker
from modelyard.report.tour.director import Director
from modelyard.report.tour.scenes import SCENES, Visit
from modelyard.tools import browser, dvc, screen, speech
from modelyard.tools import engine as engines

SIZE = (1280, 720)
STAGE = (1280, 640)
"""What the browser and the terminal take of it; the captions stand below."""

RATE = 12
LONGEST = 298.0
"""Seconds: five minutes, less what a container's rounding may add."""

SHORT = 75.0
"""Seconds: a shorter film has no scene that needs a server, and waits for none."""

NAME = "recording.mp4"


@dataclass(frozen=True)
class Film:
    """A recording. `skipped` says which scenes were left out or cut short, and why."""

    path: Path
    seconds: float
    captions: int
    voice: bool
    skipped: tuple[str, ...]


def missing() -> str:
    """What keeps a film from being made here; empty where nothing does."""
    lacking = [f"{name} (apt: {screen.NEEDED[name]})" for name in screen.missing()]
    if found := browser.missing():
        lacking.append(found)
    return "; ".join(lacking)


def record(
    project: Project,
    state: Gathered,
    target: Path | None = None,
    *,
    longest: float = LONGEST,
    say: Callable[[str], None] = lambda text: None,
) -> Film:
    """Record the tour. The project itself is not touched: the scenes play on a copy of it.

    Args:
        state: what the records say, for what the captions say.
        target: the film; `reports/recording.mp4` where None. Captions are beside it as .srt.
        longest: seconds, 298 at the most.

    Raises:
        ModelyardError: there has been no run yet.
        ToolFailed: a program is missing (each is named), or refuses.
    """
    evaluated(state)
    if lack := missing():
        raise ToolFailed(
            f"The recording cannot be made here: {lack}.",
            why="It films a real browser and a real terminal. Every other deliverable is made "
            "without them.",
            next_step="apt-get install chromium ffmpeg xvfb xterm ; python -m pip install "
            "'modelyard[record]'",
        )
    path = target or project.reports / NAME
    report = project.reports / "index.html"
    if not report.is_file():
        raise ModelyardError(
            "There is no report to show.", why=f"{report} is missing.", next_step="modelyard report"
        )
    longest = min(longest, LONGEST)
    scratch = project.state / "tour"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        say("copying the project, so that the tour changes nothing in it")
        home = _copy(project, scratch)
        return _film(project, state, path, home, scratch, longest, say)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(project: Project, scratch: Path) -> Path:
    """A working copy; what DVC keeps is shared with the project, since it is only added to."""
    home = scratch / project.root.name
    left_out = {".modelyard", ".dvc-store", "reports", ".venv", "__pycache__"}
    shutil.copytree(
        project.root,
        home,
        symlinks=True,
        ignore=lambda folder, names: [
            n
            for n in names
            if n in left_out or (folder.endswith("/.dvc") and n in ("tmp", "cache"))
        ],
    )
    _share_cache(project.root, home)
    shutil.copytree(
        project.reports, home / "reports", ignore=shutil.ignore_patterns("*.zip", "*.mp4")
    )
    (home / ".modelyard").mkdir()
    for name in ("champions", "diffs"):
        if (project.state / name).is_dir():
            shutil.copytree(project.state / name, home / ".modelyard" / name)
    return home


def _share_cache(root: Path, home: Path) -> None:
    """Let the copy use the cache that DVC uses in the project, wherever it was put."""
    path = home / ".dvc/config.local"
    local = configparser.ConfigParser(interpolation=None)
    local.read(path, encoding="utf-8")
    if not local.has_section("cache"):
        local.add_section("cache")
    local.set("cache", "dir", f'"{dvc.cache_folder(root).resolve()}"')
    with path.open("w", encoding="utf-8") as file:
        local.write(file)


def _film(
    project: Project,
    state: Gathered,
    path: Path,
    home: Path,
    scratch: Path,
    longest: float,
    say: Callable[[str], None],
) -> Film:
    raw, skipped, voice = scratch / "raw.mkv", [], speech.available()
    with ExitStack() as stack:
        long = longest >= SHORT
        # MLflow is the slowest to come: it starts first, and its page is opened off the record.
        mlflow, model = _serve(stack, home, scratch) if long else ("", "")
        report = _pages(stack, home / "reports", scratch)
        name = stack.enter_context(screen.display(SIZE))
        page = stack.enter_context(
            browser.page(size=STAGE, window=True, environment=_with_display(name))
        )
        say("waiting for MLflow's page and the model's server" if long else "a short film")
        tab = _open(page, mlflow, state) if long and servers.answers(mlflow) else None
        engine, no_engine = _engine(state) if long else (None, "a short film has none")
        visit = Visit(
            mlflow=mlflow,
            model=model if long and servers.answers(model + "/v1/model") else "",
            report=report,
            tracker=tab,
            engine=engine,
            no_engine=no_engine,
        )
        page.bring_to_front()
        page.goto(visit.report)
        page.wait_for_timeout(1500)
        say("filming")
        started = stack.enter_context(screen.filming(name, raw, SIZE, RATE))
        director = Director(
            page, home, scratch, name, STAGE, started=started, longest=longest - 2, voice=voice
        )
        for scene in SCENES:
            if director.left < scene.least:
                skipped.append(f"{scene.name}: {director.left:.0f} s were left")
                continue
            say(f"{director.now:5.0f} s  {scene.name}")
            try:
                why = scene.play(director, state, visit)
            except Exception as error:
                # Whatever a page or a program of another version does: the film goes on without it.
                why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if why:
                skipped.append(f"{scene.name}: {why}")
        seconds = min(director.now, longest)
    say("cutting: captions, voice")
    return _cut(path, raw, director, scratch, seconds, voice, skipped)


def _open(page: Any, address: str, state: Gathered) -> Any | None:
    """MLflow's page in a tab of its own, shown once: its script is megabytes, and slow to start.

    Returns None where it shows no run in `servers.PATIENCE` seconds.
    """
    try:
        tracked = tracker.ask(address)
        if tracked is None:
            return None
        tab = page.context.new_page()
        tracker.open_list(tab, tracked, servers.PATIENCE)
        if state.evaluation is not None:
            tracker.tidy(tab, tracked, state.evaluation.metric)
        tab.goto(tracked.side_by_side)
        tab.wait_for_timeout(3000)
        tracker.open_list(tab, tracked, servers.PATIENCE)
    except Exception:  # a page of another version, or one that is too slow even for this
        return None
    return tab


def _pages(stack: ExitStack, reports: Path, scratch: Path) -> str:
    """The report's address: of a copy as it is now, since the run that is filmed writes another."""
    shown, port = scratch / "shown", servers.free_port()
    shutil.copytree(reports, shown)
    server = servers.running(servers.folder(shown, port), port, scratch, scratch / "pages.log")
    address = stack.enter_context(server)
    servers.answers(address)
    return f"{address}/index.html"


def _serve(stack: ExitStack, home: Path, scratch: Path) -> tuple[str, str]:
    """Start MLflow's page and the model's server; the addresses at which they will answer."""
    ports = servers.free_port(), servers.free_port()
    commands = servers.mlflow(home, ports[0]), servers.serve(ports[1])
    mlflow, model = (
        stack.enter_context(servers.running(command, port, home, scratch / f"server-{port}.log"))
        for command, port in zip(commands, ports, strict=True)
    )
    return mlflow, model


def _cut(
    path: Path,
    raw: Path,
    director: Director,
    scratch: Path,
    seconds: float,
    voice: bool,
    skipped: list[str],
) -> Film:
    text = captions.srt(director.captions)
    srt = scratch / "captions.srt"
    srt.write_text(text, encoding="utf-8")
    sound = None
    if voice:
        sound = scratch / "voice.wav"
        speech.track(director.spoken, sound, seconds)
    part = scratch / NAME
    screen.finish(raw, srt, sound, part, longest=seconds, rate=RATE)
    found = screen.length(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path.with_suffix(".srt"), text.encode())
    write_bytes(path, part.read_bytes())
    return Film(path, found, len(director.captions), voice, tuple(skipped))


def _engine(state: Gathered) -> tuple[engines.Engine | None, str]:
    """The engine that has the project's image, or why there is none."""
    name = str((state.image or {}).get("reference") or "")
    if not name:
        return None, "no image was built (modelyard image build)"
    try:
        engine = engines.find(state.project.settings.image.engine)
        found = engines.image(engine, name)
        if found is None or found.id != (state.image or {}).get("image_id"):
            said = "has no image" if found is None else "has another image by the name"
            return None, f"{engine.name} {said} {name} (modelyard image build)"
    except ToolFailed as error:
        return None, f"{error.what} {error.why}"
    return engine, ""


def _with_display(name: str) -> dict[str, str]:
    return {**os.environ, "DISPLAY": name}
