"""The tour's parts that need neither a screen nor a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from test_report import whole

from modelyard.report.tour import director, film
from modelyard.report.tour.tracker import Tracked


def test_the_tracker_leads_to_the_list_and_to_the_two_newest_runs() -> None:
    runs = ("new", "old", "older")
    tracked = Tracked("http://127.0.0.1:5000", "7", runs, ("forest-1", "linear-2", "linear-3"))
    assert tracked.list == "http://127.0.0.1:5000/#/experiments/7/runs"
    asked = parse_qs(urlsplit(urlsplit(tracked.side_by_side).fragment).query)
    assert json.loads(asked["runs"][0]) == ["new", "old"]
    assert json.loads(asked["experiments"][0]) == ["7"]
    alone = Tracked(tracked.address, "7", ("new",), ("forest-1",))
    assert alone.side_by_side == f"{tracked.list}/new"


def test_without_an_image_the_scene_says_how_to_make_one(tmp_path: Path) -> None:
    state = whole(tmp_path)
    for image in (None, {}, {"reference": ""}):
        object.__setattr__(state, "image", image)
        assert film._engine(state) == (None, "no image was built (modelyard image build)")


def test_the_terminal_says_how_each_command_ended(tmp_path: Path) -> None:
    script = tmp_path / "terminal.json"
    script.write_text(json.dumps({"prompt": "churn", "commands": ["echo yes", "exit 3"]}))
    done = tmp_path / "terminal.json.done"
    with (tmp_path / "said").open("wb") as said:
        player = subprocess.Popen([sys.executable, director.PLAYER, script], stdout=said)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and done_lines(done) < 2:
            time.sleep(0.1)
    finally:
        player.kill()
        player.wait()
    assert done.read_text().split() == ["0", "0", "1", "3"]
    text = (tmp_path / "said").read_text()
    assert "churn" in text
    assert "\nyes\n" in text


def done_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0
