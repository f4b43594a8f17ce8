"""A headless Chromium, where there is one: a picture of a page."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 90


def program() -> str | None:
    """The browser's program, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def picture(url: str, path: Path, *, width: int = 1200, height: int = 1500) -> str:
    """Write a PNG of a page; returns why there is none, or an empty text."""
    browser = program()
    if browser is None:
        return f"no browser is installed ({', '.join(NAMES[:2])})"
    with tempfile.TemporaryDirectory() as profile:
        part = Path(profile, "page.png")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--disable-background-networking", "--disable-component-update"]
        command += ["--disable-sync", "--no-first-run", f"--user-data-dir={profile}"]
        command += [f"--window-size={width},{height}", "--virtual-time-budget=4000"]
        command += [f"--screenshot={part}", url]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"the browser took longer than {SECONDS} s"
        if not part.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"the browser ended with {done.returncode}: {said[-1] if said else 'no reason'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(part, path)
    return ""
