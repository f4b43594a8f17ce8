"""Take the README's pictures from a demonstration project: `make pictures`.

What a missing program keeps from being taken is named; the others are taken all the same.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from modelyard import project, reporting
from modelyard.errors import ModelyardError
from modelyard.report.tour import servers
from modelyard.tools import browser, screen

PICTURES = Path(__file__).resolve().parent / "pictures"
SIZE = (1280, 800)
RECORDING = "recording.mp4"


def main(folder: Path) -> int:
    """Take them; 1 where one could not be taken."""
    here = project.load(folder)
    said: list[str] = []
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-")))
        report = reporting.report(here)
        said += _take(report.as_uri(), "report.png")
        port = servers.free_port()
        model = stack.enter_context(
            servers.running(servers.serve(port), port, here.root, logs / "serve")
        )
        said += (
            _take(model, "page.png", act=_example)
            if servers.answers(model)
            else ["page.png: the server did not start"]
        )
        port = servers.free_port()
        ui = stack.enter_context(
            servers.running(servers.mlflow(here.root, port), port, here.root, logs / "mlflow")
        )
        if servers.answers(ui):
            name, _ = servers.experiment(ui)
            said += _take(f"{ui}/#/experiments/{name}/runs", "mlflow.png", settle=12.0, act=_alone)
        else:
            said += ["mlflow.png: its page did not start"]
    film = here.reports / RECORDING
    if film.is_file():
        try:
            screen.still(film, 0.55 * screen.length(film), PICTURES / "recording.png")
        except (ModelyardError, FileNotFoundError) as error:
            said.append(f"recording.png: {error}")
    else:
        said.append("recording.png: there is no recording; make record")
    for line in said:
        print(line, file=sys.stderr)
    for path in sorted(PICTURES.glob("*.png")):
        print(f"docs/pictures/{path.name}  {path.stat().st_size // 1000} kB")
    return bool(said)


def _example(page: Any) -> None:
    """A row whose columns move the prediction; the typical one moves nothing."""
    for _ in range(2):
        page.get_by_role("button", name="An example").click()
        page.wait_for_timeout(800)


def _alone(page: Any) -> None:
    """Close what MLflow opens beside the runs."""
    with suppress(Exception):  # a page of another version has no such panel
        page.locator("button:has-text('×'), button[aria-label*=lose]").last.click(timeout=3000)


def _take(
    address: str, name: str, settle: float = 0.8, act: Callable[[Any], None] = lambda page: None
) -> list[str]:
    """Take one picture; what went wrong, if anything did."""
    try:
        browser.picture(address, PICTURES / name, size=SIZE, settle=settle, act=act)
    except ModelyardError as error:
        return [f"{name}: {error.what}"]
    return []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-project")))
