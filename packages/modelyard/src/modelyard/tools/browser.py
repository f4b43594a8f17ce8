"""A real browser: `picture` looks at a page once, `page` is one that is used as a person uses it.

A picture needs Chromium alone; a page is driven by Playwright. Each is looked for when asked for.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import ToolFailed

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 90
"""How long a picture may take."""

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


NONE = f"no browser was found ({PROGRAMS[0]})"


def missing() -> str:
    """What keeps a browser from being driven here, as a sentence; empty where nothing does."""
    if _program() is None:
        return NONE
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
    address: str, target: Path, *, size: tuple[int, int] = (1200, 1500), settle: float = 4.0
) -> None:
    """Write a PNG of what a window of this size shows of a page, `settle` seconds after it came.

    Raises:
        ToolFailed: there is no browser, it takes too long, or it gives no picture.
    """
    program = _program()
    if program is None:
        raise ToolFailed(
            f"No picture can be taken: {NONE}.",
            why="Chromium takes it, without a window.",
            next_step="apt-get install chromium",
        )
    wide, high = size
    with tempfile.TemporaryDirectory() as profile:
        part = Path(profile, "page.png")
        command = [program, *QUIET, "--headless", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={wide},{high}"]
        command += [f"--virtual-time-budget={1000 * settle:.0f}", f"--screenshot={part}", address]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ToolFailed(
                f"The browser took longer than {SECONDS} s.",
                why=f"It was to take a picture of {address}.",
                next_step="try it again when the machine is less busy",
            ) from error
        if not part.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ToolFailed(
                f"The browser ended with {done.returncode} and gave no picture.",
                why=said[-1] if said else "It gave no reason.",
                next_step=f"{Path(program).name} --version",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(part, target)
