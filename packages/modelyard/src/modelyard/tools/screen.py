"""A screen to film: Xvfb shows it, xterm stands on it, ffmpeg films it and cuts the film."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelyard.errors import ToolFailed
from modelyard.programs import own_first

NEEDED = {"Xvfb": "xvfb", "xterm": "xterm", "ffmpeg": "ffmpeg", "ffprobe": "ffmpeg"}
"""Program -> Debian's package."""


def missing() -> list[str]:
    """The programs that are not here."""
    return [name for name in NEEDED if shutil.which(name) is None]


@contextmanager
def display(size: tuple[int, int]) -> Iterator[str]:
    """A screen of its own; gives its name, such as `:99`.

    Raises:
        ToolFailed: Xvfb does not start.
    """
    reader, writer = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writer),
        "-screen",
        "0",
        f"{size[0]}x{size[1]}x24",
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(
        command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as said:
            number = said.readline().strip()
        if not number:
            raise ToolFailed(
                "The screen could not be started.",
                why=f"Xvfb ended with {server.poll()}.",
                next_step="Xvfb :99 -screen 0 1280x720x24",
            )
        yield f":{number}"
    finally:
        end(server)


@contextmanager
def filming(name: str, target: Path, size: tuple[int, int], rate: int) -> Iterator[float]:
    """Film a screen until the end of the block; gives the moment of the first picture.

    The moment is on time.monotonic()'s clock. ffmpeg says when its first picture was taken; when
    its file begins to grow is seconds later on a busy machine, and captions would come too early.

    Raises:
        ToolFailed: ffmpeg takes no picture.
    """
    command = [
        "ffmpeg",
        "-y",
        "-nostdin",
        "-nostats",
        "-f",
        "x11grab",
        "-framerate",
        str(rate),
        "-video_size",
        f"{size[0]}x{size[1]}",
        "-i",
        f"{name}+0,0",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-qp",
        "16",
        "-pix_fmt",
        "yuv420p",
        str(target),
    ]
    log = target.with_suffix(".log")
    with log.open("wb") as said:
        camera = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield _first_picture(camera, log)
    finally:
        # SIGINT is ffmpeg's word for: finish the file.
        if camera.poll() is None:
            camera.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            camera.wait(timeout=60)
        end(camera)


def _first_picture(camera: subprocess.Popen[bytes], log: Path) -> float:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"x11grab.*?start: ([\d.]+)", text, re.DOTALL):
            return time.monotonic() - (time.time() - float(found[1]))
        if camera.poll() is not None:
            break
        time.sleep(0.05)
    end(camera)
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    raise ToolFailed("The screen cannot be filmed.", why=said[-400:], next_step="ffmpeg -version")


def terminal(
    name: str, size: tuple[int, int], command: Sequence[str], cwd: Path
) -> subprocess.Popen[bytes]:
    """A terminal over the whole width of the screen that runs a command in a pseudo-terminal."""
    look = [
        "xterm",
        "-fa",
        "DejaVu Sans Mono",
        "-fs",
        "12",
        "-bg",
        "#10161d",
        "-fg",
        "#e4e8ec",
        "-b",
        "20",
        "-bw",
        "0",
        "+sb",
        "-cr",
        "#6bb8e6",
        "-geometry",
        f"{size[0] // 10 - 4}x{size[1] // 20 - 2}+0+0",
    ]
    return subprocess.Popen(
        [*look, "-e", *command],
        cwd=cwd,
        env=os.environ | {"DISPLAY": name, "PATH": own_first(os.environ.get("PATH"))},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(process: subprocess.Popen[bytes], *, group: bool = False) -> None:
    """End a process that we started, politely at first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None or group:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number) if group else process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            return


def finish(
    film: Path, captions: Path, sound: Path | None, target: Path, *, longest: float, rate: int
) -> None:
    """Burn the captions in, add them as a track too, add the voice, cut at `longest` seconds.

    Raises:
        ToolFailed: ffmpeg refused.
    """
    look = (
        "FontName=DejaVu "
        "Sans,FontSize=11,PrimaryColour=&H00F6F3F0,Outline=0,Shadow=0,MarginV=5,Alignment=2"
    )
    # The filter's own syntax would read colons and quotes in a path: it is run where the file lies.
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(film), "-i", str(captions)]
    command += ["-i", str(sound)] if sound else []
    command += ["-map", "0:v", "-map", "1:s", *(["-map", "2:a"] if sound else [])]
    command += [
        "-vf",
        f"subtitles={captions.name}:force_style='{look}'",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "25",
        "-pix_fmt",
        "yuv420p",
        "-r",
        str(rate),
        "-c:s",
        "mov_text",
        "-metadata:s:s:0",
        "language=eng",
        *(["-c:a", "aac", "-b:a", "80k"] if sound else []),
        "-t",
        f"{longest:.2f}",
        "-movflags",
        "+faststart",
        str(target),
    ]
    _call(command, captions.parent)


def still(film: Path, moment: float, target: Path) -> None:
    """One picture of a film."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "ffmpeg",
        "-y",
        "-loglevel",
        "error",
        "-ss",
        f"{moment:.2f}",
        "-i",
        str(film),
        "-frames:v",
        "1",
        str(target),
    ]
    _call(command, target.parent)


def length(film: Path) -> float:
    """The length of a film in seconds, as ffprobe measures it."""
    said = _call(
        ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(film)],
        film.parent,
    )
    found = re.search(r"[\d.]+", said)
    return float(found[0]) if found else 0.0


def _call(command: Sequence[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise ToolFailed(
            f"{command[0]} refused.",
            why=done.stderr.strip()[-500:] or f"exit code {done.returncode}",
            next_step=f"{command[0]} -version",
        )
    return done.stdout
