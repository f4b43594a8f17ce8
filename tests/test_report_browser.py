"""The report in a real browser: three widths, dark, print, sort, filter, hover, zoom; the film."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_records import LINEAGE, whole

from modelyard.report import html
from modelyard.tools import browser, screen

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(bool(browser.missing()), reason=f"needs a browser: {browser.missing()}"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return html.write(whole(tmp_path_factory.mktemp("report")), LINEAGE).as_uri()


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with browser.page(size=(1280, 900)) as opened:
        opened.complaints = []
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("console", lambda said: opened.complaints.append(said.text))
        yield opened
        assert opened.complaints == []


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_sticks_out_at_any_width(page: Any, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        level = sum(int(part) for part in ground.strip("rgb()").split(","))
        assert (level < 200) == (scheme == "dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_tables_sort_and_filter(page: Any, address: str) -> None:
    page.goto(address)
    table = page.locator("table[data-filter=trials]")
    rows = table.locator("tbody tr")
    # By its text: the sign of the order, drawn beside it, is a part of its name.
    by_time = table.locator("thead button").filter(has_text="Time")
    by_time.click()
    times = [float(text.split()[0]) for text in rows.locator("td:nth-child(6)").all_inner_texts()]
    assert times == sorted(times, reverse=True)
    by_time.click()
    again = [float(text.split()[0]) for text in rows.locator("td:nth-child(6)").all_inner_texts()]
    assert again == sorted(times)
    page.get_by_label("filter the trials").fill("forest complete")
    shown = table.evaluate(
        "t => [...t.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.textContent)"
    )
    assert 0 < len(shown) < len(times)
    assert all("forest" in text for text in shown)


def test_pictures_answer_the_pointer_and_zoom(page: Any, address: str) -> None:
    page.goto(address)
    dot = page.locator("#search svg.chart .marks circle[data-tip^='trial 40 ']").first
    dot.scroll_into_view_if_needed()
    dot.hover(force=True)
    assert "trial 40" in page.locator("#tip").inner_text()
    chart = page.locator("svg.chart[data-zoom]").first
    box = chart.bounding_box()
    before = chart.locator(".tick.y text").all_text_contents()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6, steps=4)
    page.mouse.up()
    assert chart.locator(".tick.y text").all_text_contents() != before
    chart.dblclick()
    assert sorted(chart.locator(".tick.y text").all_text_contents()) == sorted(before)

    # Of an axis's two rectangles the first is where one drags, the second what was dragged.
    upright = page.locator("svg.parallel .upright").last.locator("rect").first
    upright.scroll_into_view_if_needed()
    box = upright.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 0.4, steps=3)
    page.mouse.up()
    assert page.locator("svg.parallel .lines polyline.off").count() > 0


def test_printed_it_is_all_there(page: Any, address: str, tmp_path: Path) -> None:
    page.goto(address)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("#lineage").is_visible()
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="screen")


@pytest.mark.skipif(bool(screen.missing()), reason=f"needs {', '.join(screen.missing())}")
def test_a_short_film_moves_has_captions_and_ends_in_time(project: Any) -> None:
    said = project.cli("record", "--longest", "45").stdout
    film = project.root / "reports/recording.mp4"
    assert "left out: run" in said
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(film)],
        capture_output=True, check=True,
    )  # fmt: skip
    found = json.loads(probed.stdout)
    assert 10 < float(found["format"]["duration"]) <= 300
    kinds = [stream["codec_type"] for stream in found["streams"]]
    assert kinds.count("video") == 1
    assert "subtitle" in kinds
    assert ("audio" in kinds) == bool(shutil.which("espeak-ng"))
    captions = film.with_suffix(".srt").read_text(encoding="utf-8")
    assert captions.count("-->") >= 2
    frames = []
    for moment in (2, 4, 8, 11):
        still = project.root / f"frame-{moment}.bmp"
        screen.still(film, moment, still)
        frames.append(still.read_bytes())
    assert len(set(frames)) > 1, "nothing moves"
    # The captions stand below the windows: white letters on black.
    band = frames[1][54 : 54 + 1280 * 3 * 80]
    assert max(band) > 200
    assert not (project.root / ".modelyard/tour").exists()
    left = [
        line for line in project.git("status", "--porcelain").splitlines() if "frame-" not in line
    ]
    assert left == []
