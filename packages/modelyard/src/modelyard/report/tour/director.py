"""The director: keeps the film's clock, times the captions, plays terminals."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.report.tour.captions import Caption
from modelyard.tools import screen, speech

WORDS_A_SECOND = 2.5
"""How fast a caption is read; a voice takes its own time."""

PLAYER = Path(__file__).with_name("player.py")


class Director:
    """One film in the making. `page` is the browser's page, `home` the working copy."""

    def __init__(
        self,
        page: Any,
        home: Path,
        scratch: Path,
        display: str,
        size: tuple[int, int],
        *,
        started: float,
        longest: float,
        voice: bool,
    ) -> None:
        self.page = page
        self.home = home
        self.captions: list[Caption] = []
        self.spoken: list[tuple[float, Path]] = []
        self._scratch, self._display, self._size = scratch, display, size
        self._started, self._longest, self._voice = started, longest, voice
        self._until = 0.0
        self._done: Path | None = None

    @property
    def now(self) -> float:
        """Seconds since the film began."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds that the film may still take."""
        return self._longest - self.now

    def say(self, text: str) -> None:
        """Show a caption, and speak it, once the one before has had its time."""
        self.hold()
        start, seconds = self.now, max(2.5, len(text.split()) / WORDS_A_SECOND)
        if self._voice:
            path = self._scratch / f"say-{len(self.spoken)}.wav"
            seconds = max(seconds * 0.8, speech.speak(text, path) + 0.4)
            start = self.now
            self.spoken.append((start, path))
        self._until = start + seconds
        self.captions.append(Caption(start, self._until, text))

    def hold(self, more: float = 0.0) -> None:
        """Let the caption's time pass, and a little more."""
        self.pause(self._until + more - self.now)

    def pause(self, seconds: float) -> None:
        """Wait; the browser goes on working meanwhile."""
        seconds = min(seconds, max(0.0, self.left))
        if seconds > 0:
            self.page.wait_for_timeout(1000 * seconds)

    def until(self, ready: Callable[[], bool], most: float) -> bool:
        """Wait for something, at most so many seconds; the last caption stays on."""
        end = self.now + min(most, max(0.0, self.left - 4))
        while self.now < end:
            if ready():
                return True
            self.pause(0.25)
        return ready()

    def stretch(self) -> None:
        """Let the last caption stand until now, where what it speaks of took longer."""
        if self.captions and self.captions[-1].end < self.now:
            last = self.captions[-1]
            self.captions[-1] = Caption(last.start, self.now, last.text)

    @property
    def codes(self) -> list[int]:
        """The exit codes of the commands that have ended in the last terminal."""
        return [int(line.split()[1]) for line in _lines(self._done)] if self._done else []

    @contextmanager
    def turn_to(self, page: Any) -> Iterator[Any]:
        """Another tab of the browser is in front, and is the page that is used; then the first."""
        first = self.page
        page.bring_to_front()
        self.page = page
        try:
            yield page
        finally:
            self.page = first
            first.bring_to_front()

    @contextmanager
    def terminal(
        self, commands: Sequence[str], prompt: str
    ) -> Iterator[Callable[[int, float], bool]]:
        """A terminal over the browser in which commands are typed one after the other.

        Gives `ended(count, most)`: wait, at most so many seconds, until so many have ended.
        """
        script = self._scratch / f"terminal-{time.monotonic_ns()}.json"
        script.write_text(
            json.dumps({"prompt": prompt, "commands": list(commands)}), encoding="utf-8"
        )
        done = self._done = script.with_name(script.name + ".done")
        process = screen.terminal(
            self._display, self._size, [sys.executable, str(PLAYER), str(script)], self.home
        )

        def ended(count: int, most: float) -> bool:
            found = self.until(lambda: len(_lines(done)) >= count, most)
            self.stretch()
            return found

        try:
            yield ended
        finally:
            screen.end(process, group=True)

    def scroll(self, down: int, seconds: float = 1.6) -> None:
        """Scroll the page as a hand does."""
        steps = max(1, int(seconds / 0.05))
        for step in range(steps):
            self.page.mouse.wheel(0, down * (step + 1) // steps - down * step // steps)
            self.pause(0.05)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
