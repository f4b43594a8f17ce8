"""The scenes, in their order. Each plays on the working copy and says what records say."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelyard.report import reasons, words
from modelyard.report.gather import Gathered
from modelyard.report.tour import servers, tracker
from modelyard.report.tour.director import Director
from modelyard.tools import engine as engines

FILLED = """!document.querySelector('[class*="skeleton" i], [class*="spinner" i]')"""
"""For the browser: whether MLflow's page has what it asked its server for."""


@dataclass(frozen=True)
class Visit:
    """What there is to visit; an address is empty where its server did not start in time.

    `tracker` is the browser's tab with MLflow's page, opened before the camera ran; `no_engine`
    says why there is no container to show.
    """

    mlflow: str
    model: str
    report: str
    tracker: Any | None = None
    engine: engines.Engine | None = None
    no_engine: str = ""


@dataclass(frozen=True)
class Scene:
    """A part of the tour. It is left out where less than `least` seconds remain."""

    name: str
    least: float
    play: Callable[[Director, Gathered, Visit], str]
    """Plays; returns why it could not, or an empty text."""


def opening(film: Director, state: Gathered, visit: Visit) -> str:
    """What this is."""
    film.page.goto(visit.report)
    film.say(f"This is {state.project.name}. {reasons.question(state)}")
    film.hold()
    if state.evaluation is not None:
        main = state.evaluation.metrics[state.evaluation.metric]
        film.say(
            f"The model reaches {words.metric_title(state.evaluation.metric)} "
            f"{words.number(main.value)} on {words.count(state.evaluation.rows)} rows that it "
            "has never seen. Here is how it came about."
        )
    film.hold(0.4)
    return ""


def data(film: Director, state: Gathered, visit: Visit) -> str:
    """The data, back and forth."""
    names = [tag.version for tag in state.data_tags]
    if not names:
        return "git names no data version"
    table = shlex.quote(state.project.settings.data.path)
    commands = ["modelyard data log", f"md5sum {table}"]
    if len(names) > 1:
        now = state.lineage.get("modelyard.data_version") or names[-1]
        other = next(name for name in reversed(names) if name != now)
        commands += [
            f"modelyard data checkout {other}",
            f"md5sum {table}",
            f"modelyard data checkout {now}",
            f"md5sum {table}",
        ]
    with film.terminal(commands, state.project.name) as ended:
        film.say("Every version of the data is kept by DVC, and named by a git tag.")
        ended(2, 30)
        if len(names) > 1:
            film.say(f"The table goes back to version {other}, and returns to {now}.")
            if not ended(len(commands), 60):
                return "the data commands took too long"
        if failed := _failed(film, commands):
            return failed
        if len(names) > 1:
            film.say("Each time byte for byte, as its md5 shows.")
        film.hold(1.2)
    return ""


def _failed(film: Director, commands: list[str]) -> str:
    """The first command of the terminal that ended badly; empty where none did."""
    ended = zip(film.codes, commands, strict=False)
    return next((f"a command ended with {code}: {said}" for code, said in ended if code), "")


def run(film: Director, state: Gathered, visit: Visit) -> str:
    """A run, from the table to the gate."""
    commands = [
        "git log --graph --oneline --decorate -8",
        "modelyard run --force -S tune.budget=8s --no-release",
    ]
    with film.terminal(commands, state.project.name) as ended:
        film.say(
            "Work is done on branches; git's history shows each model and data version that "
            "was released."
        )
        ended(1, 15)
        film.say(
            "One command runs the line: read and check the table, split it, search for a "
            "model, refit it."
        )
        film.hold()
        film.say(
            "Then it is evaluated on rows that nobody has seen, packed as one ONNX graph, and "
            "judged by the gate. "
            "This search is short on purpose: the gate decides whether what it finds is good "
            "enough."
        )
        film.hold()
        whole = ended(2, min(100.0, film.left - 150))
        film.pause(3)
    return "" if whole else "the run went on after the camera left"


def tracking(film: Director, state: Gathered, visit: Visit) -> str:
    """MLflow's page, with runs side by side."""
    if visit.tracker is None:
        return "MLflow's page did not open, though the camera waited for it"
    tracked = tracker.ask(visit.mlflow)
    if tracked is None:
        return "the tracking store holds no run"
    with film.turn_to(visit.tracker) as page:
        film.say(
            "MLflow holds every run with its trials, figures, files and lineage. This is its own "
            "page."
        )
        tracker.open_list(page, tracked, min(45.0, film.left / 3))
        film.stretch()
        film.hold(1.5)
        page.goto(tracked.side_by_side, wait_until="commit")
        heading = page.get_by_text("Metrics", exact=True).last
        with suppress(Exception):  # a page of another version may have none: it is still shown
            heading.wait_for(timeout=1000 * min(30.0, film.left / 3))
            page.wait_for_function(FILLED, timeout=1000 * min(20.0, film.left / 4))
        film.stretch()
        if len(tracked.runs) > 1:
            film.say(
                "Two runs side by side: their parameters, and the figures on the held-out rows."
            )
        else:
            film.say("A run with its parameters, and the figures on the held-out rows.")
        with suppress(Exception):
            film.pause(3)
            heading.evaluate(
                "e => e.scrollIntoView({block: 'start', behavior: 'smooth'})", timeout=4000
            )
            film.pause(2)
            page.mouse.move(640, 300)
            film.scroll(1390, 3.0)
            # The page's two halves of the table part while it moves; a nudge brings them together.
            page.evaluate(
                "document.querySelectorAll('[class*=Grid]').forEach(e => { e.scrollLeft = 0 })"
            )
            film.pause(0.5)
            page.mouse.wheel(0, 6)
            film.stretch()
        film.hold(1.5)
    return ""


def report(film: Director, state: Gathered, visit: Visit) -> str:
    """The report, used as a reader uses it."""
    page = film.page
    page.goto(visit.report)
    page.evaluate("document.documentElement.style.scrollBehavior = 'smooth'")
    page.locator("#experiments").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('experiments').scrollIntoView()")
    film.say(
        "The report is one page, made from the records. Its tables sort and filter, its plots "
        "answer."
    )
    film.pause(1.2)
    box = page.locator("table[data-filter=trials]").first
    if box.count():
        box.scroll_into_view_if_needed()
        box.get_by_role("button", name="Time", exact=True).click()
        film.pause(1.6)
        page.get_by_label("filter the trials").fill("boosting")
        film.pause(1.8)
    film.hold()
    page.evaluate("document.getElementById('search').scrollIntoView()")
    film.say(reasons.tuning(state) or "The search, trial by trial.")
    film.pause(0.8)
    _point(film, "#search svg.chart .marks circle")
    film.hold()
    page.evaluate("document.getElementById('results').scrollIntoView()")
    film.say(reasons.threshold(state) or "Figures with their intervals, beside the baseline.")
    film.scroll(520, 2.0)
    film.hold()
    page.evaluate("document.getElementById('gate').scrollIntoView()")
    verdict = "passed" if state.gate and state.gate.passed else "refused"
    film.say(
        f"The gate {verdict}: it judges the very package that is served, beside the champion "
        f"before it."
    )
    film.hold(0.4)
    page.evaluate("document.getElementById('lineage').scrollIntoView()")
    film.say("The lineage: from each release back to its run, its commit and its data.")
    _point(film, "svg.graph .node:last-of-type")
    film.hold(0.6)
    return ""


def _point(film: Director, selector: str) -> None:
    """Move the pointer over a mark, so that its words show."""
    found = film.page.locator(selector)
    if found.count():
        with suppress(Exception):  # a mark outside of the window is no reason to stop the film
            found.nth(found.count() // 2).hover(timeout=2500, force=True)


def _answer(state: Gathered) -> str:
    """What the model says of a row, by its task."""
    number = state.schema is not None and state.schema.task == "regression"
    return "a number" if number else "a probability"


def serving(film: Director, state: Gathered, visit: Visit) -> str:
    """The try-it page."""
    if not visit.model or not servers.answers(visit.model + "/v1/model", 20):
        return "the model's server did not start"
    page = film.page
    page.goto(visit.model)
    page.wait_for_selector(".headline", timeout=15000)
    film.say("The same package, served over HTTP, with a page to try it.")
    film.pause(1.2)
    example = page.get_by_role("button", name="An example")
    for _ in range(2):
        example.click()
        film.pause(1.6)
    page.get_by_role("button", name="Predict", exact=True).click()
    film.say(
        f"It answers with {_answer(state)}, what moved it, and what would happen if one value "
        "were another."
    )
    film.pause(1.5)
    slider = page.locator("#what-range")
    with suppress(Exception):  # a model of categories alone has no slider
        page.locator("#what-title").scroll_into_view_if_needed()
        slider.focus(timeout=2000)
        for key in ["PageDown"] * 3 + ["PageUp"] * 5:
            slider.press(key)
            film.pause(0.45)
    film.hold(0.8)
    return ""


def container(film: Director, state: Gathered, visit: Visit) -> str:
    """The image, where one was built and an engine has it: started, asked, ended."""
    if visit.engine is None:
        return visit.no_engine
    port, table = servers.free_port(), state.project.settings.data.path
    name, address = f"{state.project.name}-tour-{port}", f"http://127.0.0.1:{port}"
    commands = [
        f"modelyard image run --detach --name {name} --port {port}",
        f"curl -s -w '  HTTP %{{http_code}}\\n' {address}/v2/health/ready",
        *(
            [
                f"head -n 4 {shlex.quote(table)} | curl -s --data-binary @- "
                "-H 'Content-Type: text/csv' "
                f"{address}/v1/predict ; echo"
            ]
            if table.endswith(".csv")
            else []
        ),
        f"modelyard smoke --champion {address}",
        f"{visit.engine.name} stop {name}",
    ]
    try:
        with film.terminal(commands, state.project.name) as ended:
            film.say(
                "The same package as a container: read-only, without capabilities, not root. "
                "It says that it is healthy."
            )
            ended(2, 30)
            film.say("It predicts rows of the table, here as JSON.")
            ended(len(commands) - 1, min(40.0, film.left - 50))
            if failed := _failed(film, commands):
                return failed
            film.say(
                "And its golden samples come back as they were packed, to the last digit that "
                "counts."
            )
            if not ended(len(commands), min(30.0, film.left - 50)):
                return "the container took too long"
            film.hold(1.0)
    finally:
        engines.remove(visit.engine, name)
    return ""


def closing(film: Director, state: Gathered, visit: Visit) -> str:
    """What is left behind."""
    film.page.goto(visit.report)
    film.page.evaluate("window.scrollTo(0, 0)")
    now = state.champion
    said = (
        f"{now.model} version {now.version} is the champion: {words.metric_title(now.metric)} "
        f"{words.number(now.value)}."
        if now
        else "No model has been released yet."
    )
    film.say(f"{said} All of it is in one repository, and one zip rebuilds it.")
    film.hold(0.8)
    return ""


SCENES = (
    Scene("opening", 0, opening),
    Scene("data", 60, data),
    Scene("run", 130, run),
    Scene("tracking", 75, tracking),
    Scene("serving", 60, serving),
    Scene("container", 60, container),
    Scene("report", 45, report),
    Scene("closing", 8, closing),
)
"""What is shown; the last one always has its time, since the others leave it."""
