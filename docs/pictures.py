"""Take the README's pictures from a demonstration project: `make pictures`.

What a missing program keeps from being taken is named; the others are taken all the same.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

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
        said += _take(report.as_uri() + "#results", "report-results.png")
        port = servers.free_port()
        model = stack.enter_context(
            servers.running(servers.serve(port), port, here.root, logs / "serve")
        )
        said += (
            _take(model, "page.png")
            if servers.answers(model)
            else ["page.png: the server did not start"]
        )
        port = servers.free_port()
        ui = stack.enter_context(
            servers.running(servers.mlflow(here.root, port), port, here.root, logs / "mlflow")
        )
        if servers.answers(ui):
            name, _ = servers.experiment(ui)
            said += _take(f"{ui}/#/experiments/{name}/runs", "mlflow.png", settle=6.0)
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


def _take(address: str, name: str, settle: float = 0.8) -> list[str]:
    """Take one picture; what went wrong, if anything did."""
    try:
        browser.picture(address, PICTURES / name, size=SIZE, settle=settle)
    except ModelyardError as error:
        return [f"{name}: {error.what}"]
    return []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-project")))
