"""The try-it page in a real browser: fill, predict, explain, slide, a table, dark, phone, keys."""

from __future__ import annotations

import csv
import io
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from handmade import FEATURES, ROW, write_package
from werkzeug.serving import make_server

from modelyard_serve.app import create_app
from modelyard_serve.scorer import Scorer

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
PACKAGE = Path(__file__).resolve().parent.parent / "contract" / "format-1"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def serve(package: Path) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(package), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def churn() -> Iterator[str]:
    yield from serve(PACKAGE)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Every kind of column, a range for the number, and a date in a form of its own."""
    features = (
        *FEATURES[:4],
        msgspec.structs.replace(
            FEATURES[4], time_format="%d.%m.%Y %H:%M", typical="2013-01-01T06:00:00"
        ),
    )
    package = write_package(tmp_path_factory.mktemp("flights") / "package", features=features)
    yield from serve(package)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page that has answered once; at the end its console held no error."""
    contexts, complaints = [], []

    def open_page(address: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        own = (address, "blob:", "data:")
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("request", lambda sent: sent.url.startswith(own) or complaints.append(sent.url))
        page.goto(address)
        page.wait_for_selector(".headline")
        return page

    yield open_page
    for context in contexts:
        context.close()
    # A refused row is answered with 422, which Chromium reports as a failed resource.
    assert [text for text in complaints if "422" not in text] == []


def settled(page: Any, act: Callable[[], Any]) -> dict[str, Any]:
    """Do something and return the row that the page then asked about, once it was answered."""
    page.wait_for_timeout(700)  # what earlier edits asked for is answered by then
    with page.expect_response("**/v1/explain") as answer:
        act()
    row: dict[str, Any] = answer.value.request.post_data_json["row"]
    said: dict[str, Any] = answer.value.json()
    wanted = f"{100 * said['score']:.1f} %"
    sync_api.expect(page.locator(".from")).to_contain_text(f"this one {wanted}")
    return row


def test_fill_predict_explain(churn: str, visit: Callable[..., Any]) -> None:
    page, scorer = visit(churn), Scorer(PACKAGE)
    page.get_by_label("tenure", exact=True).fill("1")
    page.get_by_label("internet_service", exact=True).select_option(label="DSL")
    page.get_by_label("online_backup", exact=True).select_option("missing")
    page.get_by_label("contract", exact=True).select_option("other")
    row = settled(page, page.get_by_role("button", name="Predict", exact=True).click)
    assert (row["tenure"], row["internet_service"]) == (1, "DSL")
    assert (row["online_backup"], row["contract"]) == (None, "other")
    # What was not touched is sent exactly as the package has it, not as the field rounds it.
    typical = {feature.name: feature.typical for feature in scorer.manifest.features}
    assert row["total_charges"] == typical["total_charges"]
    found = scorer.score_rows([row])
    sync_api.expect(page.locator(".headline strong")).to_have_text(found.labels[0])
    shares = [f"{100 * share:.1f} %" for share in found.outputs[0]]
    sync_api.expect(page.locator("#result .bars .num")).to_have_text(shares)
    assert page.locator("#result .tick:not(.sample)").count() == 1
    assert "31.5 %" in page.locator("#result").inner_text()
    moved = page.locator("#moved .moves .name b").all_inner_texts()
    assert set(moved) <= {"tenure", "internet_service", "online_backup", "contract"}
    assert "need not add up" in page.locator("#moved").inner_text()
    sync_api.expect(page.locator("#spoken")).to_contain_text("churn: ")
    again = settled(page, page.get_by_role("button", name="Typical").click)
    assert again == typical


def test_an_example_fills_the_row(churn: str, visit: Callable[..., Any]) -> None:
    page = visit(churn)
    examples = page.request.get(f"{churn}v1/model").json()["examples"]
    row = settled(page, page.get_by_role("button", name="An example").click)
    known = {f.name: f.levels for f in Scorer(PACKAGE).manifest.features if f.levels}
    # An unseen category is shown, and sent, as "other": to the model they are one.
    seen = [
        {k: "other" if v and k in known and v not in known[k] else v for k, v in each.items()}
        for each in examples
    ]
    assert row in seen


def test_slide_along_a_number_and_take_a_level(churn: str, visit: Callable[..., Any]) -> None:
    page = visit(churn)
    page.locator("#what-column").select_option("tenure")
    slider = page.locator("#what-range")
    page.wait_for_selector("#what-chart svg circle")
    assert slider.get_attribute("aria-label") == "What if: tenure"
    before = page.locator("#what-chart circle").get_attribute("cx")
    row = settled(page, lambda: slider.press("Home"))
    assert row["tenure"] == 0
    assert page.get_by_label("tenure", exact=True).input_value() == "0"
    assert page.locator("#what-chart circle").get_attribute("cx") != before
    assert settled(page, lambda: slider.press("ArrowRight"))["tenure"] == 1
    assert page.locator("#what-value").inner_text() == "1"
    assert page.locator("#what-chart svg").get_attribute("aria-label").startswith("Probability")
    page.locator("#what-column").select_option("contract")
    page.wait_for_selector("#what-chart .levels")
    level = page.locator("#what-chart").get_by_role("button", name="Two year")
    assert settled(page, level.click)["contract"] == "Two year"
    assert page.locator("#what-chart .chosen").inner_text().startswith("Two year")
    assert page.locator("#what-value").inner_text() == "Two year"
    page.locator("#moved button", has_text="tenure").click()
    page.wait_for_selector("#what-slide:not([hidden])")
    assert page.locator("#what-column").input_value() == "tenure"


def test_a_table_in_and_out(churn: str, visit: Callable[..., Any], tmp_path: Path) -> None:
    page, scorer = visit(churn), Scorer(PACKAGE)
    page.get_by_role("button", name="Put examples here").click()
    sent = page.locator("#csv-text").input_value()
    rows = list(csv.DictReader(io.StringIO(sent)))
    page.get_by_role("button", name="Predict the table").click()
    page.wait_for_selector("#csv-result table")
    assert page.locator("#csv-status").inner_text().startswith(f"{len(rows)} rows in")
    examples = page.request.get(f"{churn}v1/model").json()["examples"]
    labels = scorer.score_rows(examples).labels.tolist()
    assert page.locator("#csv-result tbody td:first-child").all_inner_texts() == labels
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "churn-predictions.csv"
    kept = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
    assert [row["prediction"] for row in kept] == labels
    assert [{name: row[name] for name in rows[0]} for row in kept] == rows
    # A file of more rows than are shown.
    many = tmp_path / "many.csv"
    many.write_text(sent.splitlines()[0] + "\n" + (sent.splitlines()[1] + "\n") * 120)
    page.locator("#csv-file").set_input_files(many)
    sync_api.expect(page.locator("#csv-status")).to_contain_text("120 rows")
    assert page.locator("#csv-result tbody tr").count() == 50
    page.locator("#csv-text").fill(sent.replace(sent.splitlines()[1], "far" + sent.splitlines()[1]))
    page.get_by_role("button", name="Predict the table").click()
    page.wait_for_selector("#csv-result .cells")
    assert "row 0, female" in page.locator("#csv-result .cells").inner_text()


def test_a_problem_stands_beside_its_field(flights: str, visit: Callable[..., Any]) -> None:
    page = visit(flights)
    when = page.get_by_label("when", exact=True)
    assert when.input_value() == "01.01.2013 06:00"
    with page.expect_response("**/v1/explain"):
        when.fill("some day")
    page.wait_for_selector(".field[data-state=bad]")
    assert "%d.%m.%Y" in page.locator("#f4-note").inner_text()
    assert when.get_attribute("aria-invalid") == "true"
    assert page.locator("#trouble").is_hidden()
    row = settled(page, lambda: when.fill("07.01.2013 12:30"))
    assert row["when"] == "07.01.2013 12:30"
    assert page.locator(".field[data-state=bad]").count() == 0
    page.locator("#row").get_by_label("Größe (€)").press("Control+A")
    page.keyboard.type("-")
    page.wait_for_selector("#f1-note:has-text('cannot be read')")
    assert (
        settled(page, lambda: page.locator("#row").get_by_label("Größe (€)").fill(""))["Größe (€)"]
        is None
    )
    settled(page, lambda: page.locator("#row").get_by_label("distance").fill("50"))
    assert "outside 100 – 5000" in page.locator("#f0-note").inner_text()
    row = settled(page, lambda: page.get_by_label("yes", exact=True).check(force=True))
    assert row["night"] is True
    assert list(row) == list(ROW)


def test_dark_is_kept(churn: str, visit: Callable[..., Any]) -> None:
    page = visit(churn, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.locator("#theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.wait_for_selector(".headline")
    assert page.evaluate(ground) == dark
    assert button.get_attribute("aria-pressed") == "true"
    assert visit(churn, color_scheme="dark").evaluate(ground) == dark


@pytest.mark.parametrize("width", [360, 768, 1024, 1440])
def test_nothing_is_wider_than_the_window(
    churn: str, visit: Callable[..., Any], width: int
) -> None:
    page = visit(churn, viewport={"width": width, "height": 740})
    page.get_by_role("button", name="Put examples here").click()
    page.get_by_role("button", name="Predict the table").click()
    page.wait_for_selector("#csv-result table")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#brief").is_visible() == (width <= 820)


def test_the_keyboard_is_enough(churn: str, visit: Callable[..., Any]) -> None:
    page = visit(churn)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const active = document.activeElement;
                const style = getComputedStyle(active);
                return [active.id, style.outlineStyle !== 'none' && style.outlineWidth !== '0px'];
            }"""
        )
        assert found[1], f"{found[0]} shows no focus"
        seen.append(found[0])
        if found[0] == "f4":
            page.keyboard.press("Control+A")
            page.keyboard.type("70")
            row = settled(page, lambda: page.keyboard.press("Enter"))
            assert row["tenure"] == 70
        if found[0] == "csv-text":
            break
    wanted = ["theme", "example", "typical", "f0", "f4", "f18", "predict", "what-column"]
    wanted += ["what-range", "csv-examples", "csv-file", "csv-text"]
    assert [name for name in seen if name in wanted] == wanted


def test_without_a_script_the_page_says_so(churn: str, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(churn)
    assert "needs JavaScript" in page.locator("noscript").inner_text()
    assert page.get_by_label("tenure", exact=True).is_visible()
    context.close()
