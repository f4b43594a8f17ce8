"""A spoken track by espeak-ng, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import ToolFailed

PROGRAM = "espeak-ng"
RATE = 22050


def available() -> bool:
    """Whether a voice is here."""
    return shutil.which(PROGRAM) is not None


def speak(text: str, target: Path) -> float:
    """Speak a sentence into a WAV file; returns its length in seconds.

    Raises:
        ToolFailed: the voice refused.
    """
    done = subprocess.run(
        [PROGRAM, "-v", "en-us", "-s", "168", "-p", "42", "-w", str(target), text],
        capture_output=True,
        text=True,
    )
    if done.returncode or not target.is_file():
        raise ToolFailed(
            "The voice refused.", why=done.stderr.strip(), next_step=f"{PROGRAM} --version"
        )
    with wave.open(str(target)) as sound:
        return float(sound.getnframes() / sound.getframerate())


def track(parts: Sequence[tuple[float, Path]], target: Path, seconds: float) -> None:
    """Lay WAV files of the voice along a line of time: (start in seconds, file)."""
    whole = bytearray(2 * int(seconds * RATE))
    for start, path in parts:
        with wave.open(str(path)) as sound:
            frames = sound.readframes(sound.getnframes())
        at = 2 * int(start * RATE)
        piece = frames[: max(0, len(whole) - at)]
        whole[at : at + len(piece)] = piece
    with wave.open(str(target), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(bytes(whole))
