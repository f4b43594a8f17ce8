"""A real browser: Chromium, by itself for a picture, driven by Playwright for all else.

Both are looked for when they are asked for.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import ToolFailed

SECONDS = 90
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--test-type",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-infobars",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-crash-restore-bubble",
)
"""A browser that asks nothing, calls nobody, and runs where there are no user namespaces."""


def missing() -> str:
    """What keeps a browser from being driven here, as a sentence; empty where nothing does."""
    if _program() is None:
        return "no browser was found (chromium)"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the Python package playwright is not installed"
    return ""


def _program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def page(
    *,
    size: tuple[int, int],
    window: bool = False,
    environment: Mapping[str, str] | None = None,
    scale: float = 1,
) -> Iterator[Any]:
    """Open a browser with one page; closed at the end.

    Args:
        size: of the page's view, or of the whole window, in px.
        window: a window on the display that `environment` names, instead of none.
        scale: picture points for each px.

    Raises:
        ToolFailed: there is no browser, or it does not start.
    """
    if lack := missing():
        raise ToolFailed(
            f"The browser cannot be used: {lack}.",
            why="Chromium is driven by the Python package playwright.",
            next_step="apt-get install chromium ; python -m pip install 'modelyard[record]'",
        )
    from playwright.sync_api import Error, sync_playwright

    wide, high = size
    flags = (
        [*QUIET, f"--window-size={wide},{high}", "--window-position=0,0"] if window else list(QUIET)
    )
    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(
                executable_path=_program(),
                headless=not window,
                args=flags,
                env=dict(environment) if environment else None,
                ignore_default_args=["--enable-automation"] if window else None,
            )
        except Error as error:
            raise ToolFailed(
                "The browser did not start.",
                why=str(error).splitlines()[0],
                next_step="chromium --version",
            ) from error
        try:
            view = (
                {}
                if window
                else {"viewport": {"width": wide, "height": high}, "device_scale_factor": scale}
            )
            context = browser.new_context(**({"no_viewport": True} if window else view))
            yield context.new_page()
        finally:
            browser.close()


def picture(
    address: str,
    target: Path,
    *,
    size: tuple[int, int],
    scale: float = 1,
    settle: float = 0.6,
    act: Callable[[Any], None] = lambda page: None,
) -> None:
    """A picture of what a window shows of a page, taken `settle` seconds after it was loaded.

    Args:
        act: what is done on the loaded page before; it settles once more.

    Raises:
        ToolFailed: there is no browser, or the page cannot be opened.
    """
    with page(size=size, scale=scale) as opened:
        opened.goto(address)
        opened.wait_for_timeout(1000 * settle)
        act(opened)
        opened.wait_for_timeout(1000 * settle)
        target.parent.mkdir(parents=True, exist_ok=True)
        opened.screenshot(path=str(target))


def snap(address: str, target: Path, *, size: tuple[int, int]) -> str:
    """A picture by the browser alone, without Playwright; returns why there is none, or ""."""
    program = _program()
    if program is None:
        return "no browser was found (chromium)"
    with tempfile.TemporaryDirectory() as profile:
        part = Path(profile, "page.png")
        command = [program, "--headless", *QUIET, "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"]
        command += ["--virtual-time-budget=4000", f"--screenshot={part}", address]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"the browser took longer than {SECONDS} s"
        if not part.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"the browser ended with {done.returncode}: {said[-1] if said else 'no reason'}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(part, target)
    return ""
