"""The study: asked and told, killed and resumed, repeatable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelyard.errors import ToolFailed
from modelyard.forms import Choice, Real, Whole
from modelyard.tools.optuna import Search, describe

SPACES = {
    "one": {"rate": Real(0.001, 1.0, log=True), "depth": Whole(1, 9)},
    "two": {"kind": Choice(("a", "b", None))},
}


def open_search(path: Path, seed: int = 0) -> Search:
    return Search(path / "journal.log", maximize=True, seed=seed, spaces=SPACES)


def play(search: Search, trials: int) -> list[tuple[str, dict[str, object]]]:
    """Ask and tell one by one with a score that depends on the parameters alone."""
    seen = []
    for _ in range(trials):
        asked = search.ask()
        score = float(asked.params.get("rate") or 0.5)
        search.report(asked.number, 0, score)
        search.finish(asked.number, "complete", score, {"folds": [score]})
        seen.append((asked.family, dict(asked.params)))
    return seen


def test_queue_comes_first_and_keeps_what_is_outside_the_space(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.enqueue("one", {"rate": 0.25, "depth": 3, "extra": "kept"}, "default")
    asked = search.ask()
    assert (asked.family, asked.origin) == ("one", "default")
    assert asked.params == {"extra": "kept", "rate": 0.25, "depth": 3}


def test_a_family_has_only_its_own_parameters(tmp_path: Path) -> None:
    for family, params in play(open_search(tmp_path), 12):
        assert set(params) == set(SPACES[family])


def test_an_interrupted_study_asks_what_the_whole_one_asks(tmp_path: Path) -> None:
    whole = play(open_search(tmp_path / "whole"), 12)
    first = play(open_search(tmp_path / "parts"), 5)
    rest = play(open_search(tmp_path / "parts"), 7)
    assert first + rest == whole


def test_another_seed_asks_something_else(tmp_path: Path) -> None:
    assert play(open_search(tmp_path / "a"), 8) != play(open_search(tmp_path / "b", seed=1), 8)


def test_kill_loses_at_most_the_trial_in_flight(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_optuna import open_search, play
        search = open_search(Path({str(tmp_path)!r}))
        play(search, 6)
        asked = search.ask()
        search.report(asked.number, 0, 0.1)
        print(asked.family, sorted(asked.params.items(), key=str), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = open_search(tmp_path)
    told = again.told()
    assert len(told) == 6
    assert all(trial.state == "complete" for trial in told)
    assert again.waiting == 1
    asked = again.ask()
    assert f"{asked.family} {sorted(asked.params.items(), key=str)}" == done.stdout.strip()
    again.finish(asked.number, "complete", 0.2, {})
    numbers = [trial.number for trial in again.told()]
    assert len(numbers) == len(set(numbers)) == 7


def test_a_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    play(search, 3)
    journal = tmp_path / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert len(open_search(tmp_path).told()) == 3
    play(open_search(tmp_path), 1)
    assert len(open_search(tmp_path).told()) == 4


def test_a_journal_that_is_none_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("not a journal\n")
    with pytest.raises(ToolFailed) as caught:
        open_search(tmp_path)
    assert "journal.log" in caught.value.next_step


def test_pruned_and_failed_trials_have_no_score(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    for state in ("pruned", "failed", "stopped"):
        asked = search.ask()
        search.finish(asked.number, state, 0.9, {"folds": [0.9]})  # type: ignore[arg-type]
    assert [(t.state, t.score) for t in search.told()] == [
        ("pruned", None),
        ("failed", None),
        ("stopped", None),
    ]


def test_spaces_in_words() -> None:
    assert describe(SPACES)["one"] == {"rate": "0.001 to 1.0 (log)", "depth": "1 to 9"}
    assert describe(SPACES)["two"] == {"kind": "one of a, b, None"}
