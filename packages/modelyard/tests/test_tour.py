"""The tour's parts that need neither a screen nor a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from report_records import whole

from modelyard.report.gather import DataTag, gather
from modelyard.report.tour import director, film, scenes
from modelyard.report.tour.tracker import Tracked
from modelyard.tools import dvc


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


def test_the_copy_uses_the_cache_that_dvc_was_told_of(tmp_path: Path) -> None:
    root, home = tmp_path / "churn", tmp_path / "copy"
    local = "[core]\n    autostage = true\n[cache]\n    dir = ../../else where\n"
    for folder in (root, home):
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc/config.local").write_text(local)
    film._share_cache(root, home)
    text = (home / ".dvc/config.local").read_text()
    assert text.count("[cache]") == 1
    assert "autostage = true" in text
    assert dvc.cache_folder(home) == tmp_path / "else where"
    (root / ".dvc/config.local").unlink()
    (home / ".dvc/config.local").unlink()
    film._share_cache(root, home)
    assert dvc.cache_folder(home) == root / ".dvc/cache"


class Terminal:
    """The director's side of a terminal whose commands ended with these codes."""

    def __init__(self, *codes: int) -> None:
        self.codes, self.said, self.commands = list(codes), [], []

    def say(self, text: str) -> None:
        self.said.append(text)

    def hold(self, more: float = 0.0) -> None:
        pass

    @contextmanager
    def terminal(self, commands, prompt):
        self.commands = list(commands)
        yield lambda count, most: True


def test_byte_for_byte_is_said_of_checks_that_passed_alone(tmp_path: Path) -> None:
    project = whole(tmp_path)
    asked = msgspec.structs.replace(project.settings.data, path="data/raw/my flights.csv")
    settings = msgspec.structs.replace(project.settings, data=asked)
    tags = tuple(DataTag(name, "c" * 40, "", "", 9, "") for name in ("v1", "v2"))
    state = replace(gather(replace(project, settings=settings)), data_tags=tags)
    good = Terminal(0, 0, 0, 0, 0, 0)
    assert scenes.data(good, state, None) == ""
    assert good.commands[1] == "md5sum 'data/raw/my flights.csv'"
    assert "byte for byte" in " ".join(good.said)
    bad = Terminal(0, 0, 0, 1, 0, 0)
    assert scenes.data(bad, state, None).startswith("a command ended with 1: md5sum 'data")
    assert "byte for byte" not in " ".join(bad.said)


def test_captions_speak_of_the_task(tmp_path: Path) -> None:
    state = gather(whole(tmp_path))
    assert scenes._answer(state) == "a probability"
    assert state.schema is not None
    house = msgspec.structs.replace(state.schema, task="regression")
    assert scenes._answer(replace(state, schema=house)) == "a number"
