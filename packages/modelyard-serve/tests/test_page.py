"""The try-it page: its routes, its headers, its form. The browser's part is in tests/."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from handmade import FEATURES, ROW, write_package

from modelyard_serve import page
from modelyard_serve.app import create_app
from modelyard_serve.contract import Feature
from modelyard_serve.explain import Explanation, WhatIf
from modelyard_serve.page.form import examples, fields, origins
from modelyard_serve.scorer import Scorer
from modelyard_serve.settings import Settings

HOME = Path(page.__file__).parent
GOLDEN_PACKAGE = Path(__file__).resolve().parents[3] / "contract" / "format-1"


@pytest.fixture
def client(package: Path) -> FlaskClient:
    return create_app(package).test_client()


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_the_page_and_its_files_answer_with_strict_headers(client: FlaskClient) -> None:
    html = client.get("/")
    assert html.status_code == 200
    assert html.content_type == "text/html; charset=utf-8"
    found = re.findall(r'(?:href|src)="(page/[^"]+)"', html.text)
    assert sorted(name.partition("?")[0] for name in found) == [
        "page/icon.svg",
        "page/page.css",
        "page/page.js",
    ]
    for address in ("", *found):
        answer = client.get(f"/{address}")
        assert answer.status_code == 200, address
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert client.get("/page/form.py").status_code == 404
    assert client.get("/page/..%2fapp.py").status_code == 404


def test_files_are_kept_for_as_long_as_their_address_holds(client: FlaskClient) -> None:
    (address,) = re.findall(r'href="(page/page.css[^"]+)"', client.get("/").text)
    lasting = client.get(f"/{address}")
    assert lasting.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for path in ("/page/page.css", "/page/page.js?v=other", "/", "/v1/model"):
        first = client.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(client: FlaskClient) -> None:
    html = client.get("/").text
    for tag, attributes in Elements(html).found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
    sources = [html, *((HOME / name).read_text("utf-8") for name in page.ASSETS)]
    for source in sources:
        assert set(re.findall(r"https?://[^/\"'`\s]+", source)) <= {"http://www.w3.org"}
        assert "//cdn" not in source
        assert "@import" not in source


def test_the_page_says_what_it_needs_without_a_script(client: FlaskClient) -> None:
    html = client.get("/").text
    assert "needs JavaScript" in html[html.index("<noscript>") : html.index("</noscript>")]


def test_names_are_escaped(tmp_path: Path) -> None:
    nasty = "<b>\"&'</b><script>alert(1)</script>"
    features = (
        msgspec.structs.replace(FEATURES[0], name=nasty),
        FEATURES[1],
        msgspec.structs.replace(FEATURES[2], levels=(nasty, "=B6"), typical=nasty),
        *FEATURES[3:],
    )
    folder = write_package(
        tmp_path / "p", features=features, name=nasty, target=nasty, classes=("no", nasty),
        positive=nasty, lineage={nasty: nasty}, metrics={nasty: 0.5},
    )  # fmt: skip
    client = app_without_golden(folder)
    html = client.get("/").text
    elements = Elements(html)
    assert "<b>" not in html
    assert [attributes for tag, attributes in elements.found if tag == "script"] == [
        {"src": re.findall(r'src="(page/page.js[^"]+)"', html)[0]}
    ]
    assert elements.text.count(nasty) >= 6
    assert "Größe (€)" in elements.text
    options = [attributes.get("value") for tag, attributes in elements.found if tag == "option"]
    assert options[:4] == [f"={nasty}", "==B6", "other", "missing"]


def app_without_golden(folder: Path) -> FlaskClient:
    """A package whose columns were renamed no longer has golden rows that fit."""
    app = Flask("page-alone")
    app.register_blueprint(page.blueprint(Scorer(folder)))
    return app.test_client()


def test_the_model_card_is_the_manifest_and_example_rows_that_answer(package: Path) -> None:
    client, scorer = create_app(package).test_client(), Scorer(package)
    card = client.get("/v1/model").get_json()
    assert msgspec.convert(card["features"], tuple[Feature, ...]) == scorer.manifest.features
    assert (card["name"], card["task"], card["target"]) == ("flights", "binary", "late")
    assert (card["threshold"], card["classes"]) == (0.4, ["no", "yes"])
    assert card["digest"] == scorer.digest
    assert card["model_digest"] == scorer.manifest.model_digest
    assert card["example"] == ROW
    assert card["examples"][1] == {
        "distance": None, "Größe (€)": None, "carrier": "never seen", "night": None, "when": None,
    }  # fmt: skip
    answer = client.post("/v1/predict", json={"rows": card["examples"]})
    assert answer.status_code == 200


def test_explain_and_what_if_answer(client: FlaskClient) -> None:
    why = client.post("/v1/explain", json={"row": ROW})
    assert why.status_code == 200
    found = msgspec.json.decode(why.data, type=Explanation)
    asked = client.post("/v1/predict", json={"rows": [ROW]}).get_json()
    assert found.score == pytest.approx(asked["probabilities"][0][1], abs=1e-12)
    assert {effect.feature for effect in found.effects} == set(ROW)
    curve = client.post("/v1/what-if", json={"row": ROW, "feature": "distance"})
    walked = msgspec.json.decode(curve.data, type=WhatIf)
    assert (walked.values[0], walked.values[-1]) == (100, 5000)
    assert len(walked.values) == len(walked.scores) == page.CURVE_POINTS


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/explain", b"", 400),
        ("/v1/explain", b"{", 400),
        ("/v1/explain", b'{"row": [1]}', 400),
        ("/v1/explain", b'{"row": {}, "more": 1}', 400),
        ("/v1/explain", b'{"row": {"carrier": "\xff"}}', 400),
        ("/v1/explain", b'{"row": ' + b"[" * 100_000, 400),
        ("/v1/explain", b'{"row": {}}', 422),
        ("/v1/explain", b'{"row": {"distance": "far"}}', 422),
        ("/v1/what-if", b'{"row": {}}', 400),
        ("/v1/what-if", b'{"row": {}, "feature": 3}', 400),
        ("/v1/what-if", b'{"row": {}, "feature": "distance"}', 422),
    ],
)
def test_bad_bodies_are_problem_documents(
    client: FlaskClient, path: str, body: bytes, status: int
) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["status"] == status


@pytest.mark.parametrize(
    ("row", "feature", "column"),
    [
        ({**ROW, "distance": "far"}, "night", "distance"),
        ({**ROW, "distances": 3}, "night", "distances"),
        ({k: v for k, v in ROW.items() if k != "when"}, "night", "when"),
        (ROW, "when", "when"),
        (ROW, "nothing", "nothing"),
    ],
)
def test_refused_rows_name_the_column(
    client: FlaskClient, row: dict[str, Any], feature: str, column: str
) -> None:
    answer = client.post("/v1/what-if", json={"row": row, "feature": feature})
    assert answer.status_code == 422
    assert answer.get_json()["problems"][0]["column"] == column


def test_each_kind_of_column_has_its_field() -> None:
    many = tuple(f"level {i}" for i in range(31))
    made = fields(
        (
            *FEATURES,
            Feature(name="day", kind="datetime", parts=("month",), typical="2013-01-01T06:00:00"),
            Feature(
                name="german", kind="datetime", parts=("hour",), time_format="%d.%m.%Y",
                typical="2013-01-31T00:00:00",
            ),
            Feature(name="many", kind="category", levels=many, typical="level 3"),
            Feature(name="taken", kind="category", levels=("other", "(other)"), typical=None),
            Feature(name="fine", kind="number", minimum=0.0, maximum=42.57886, typical=0.1 + 0.2),
        )
    )  # fmt: skip
    found = {field.feature.name: field for field in made}
    assert [field.widget for field in made] == [
        "number", "number", "select", "choice", "datetime-local",
        "date", "text", "search", "select", "number",
    ]  # fmt: skip
    assert (found["distance"].start, found["distance"].step) == ("762", "1")
    assert found["distance"].hint == "100 – 5000"
    assert (found["fine"].start, found["fine"].step) == ("0.3", "0.1")
    assert found["when"].start == "2013-01-01T06:00"
    assert (found["day"].start, found["german"].start) == ("2013-01-01", "31.01.2013")
    assert (found["carrier"].other, found["taken"].other) == ("other", "((other))")
    assert found["night"].start == "false"


def test_examples_are_whole_and_the_plainest_comes_first() -> None:
    rows = examples(FEATURES, [{"carrier": "unseen", "distance": 1}, ROW, {}])
    assert rows[0] == ROW
    assert rows[2] == dict.fromkeys(ROW)


def test_the_lineage_is_told_in_order_and_leaves_nothing_out() -> None:
    told = origins({"zebra": "z", "commit": "c", "data_version": "v1", "dirty": "true", "run": ""})
    assert told == [
        ("Data version", "v1"), ("Commit", "c"), ("Work tree", "changed"), ("zebra", "z"),
    ]  # fmt: skip
    html = create_app(GOLDEN_PACKAGE).test_client().get("/").text
    assert "05477e1e0af6fbee84e31e3985c84c906fe9cd95" in html


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_stand_out_as_wcag_aa_asks(scheme: int) -> None:
    css = (HOME / "page.css").read_text("utf-8")
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    colours = {name: (light, dark)[scheme] for name, light, dark in pairs}
    wanted = [(text, ground, 4.5) for text in ("ink", "soft", "accent") for ground in
              ("paper", "card", "well")]  # fmt: skip
    wanted += [("on-accent", "accent", 4.5), ("ink", "tint", 4.5), ("bad", "bad-tint", 4.5)]
    wanted += [("odd", "card", 4.5), ("bad", "card", 4.5), ("edge", "card", 3.0)]
    wanted += [("down", "well", 3.0), ("up", "well", 3.0)]
    for text, ground, least in wanted:
        high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= least, (text, ground)


def test_the_script_stays_small() -> None:
    assert len((HOME / "page.js").read_text("utf-8").splitlines()) < 600


def test_the_card_says_which_release_it_is_and_since_when() -> None:
    settings = Settings(model_version="3", model_since="2031-05-04T11:00:00+02:00")
    html = create_app(GOLDEN_PACKAGE, settings).test_client().get("/").text
    told = re.findall(r"<dt>(Release|Since)</dt>\s*<dd[^>]*>(.*?)</dd>", html, re.S)
    assert [(name, re.sub(r"<[^>]*>", "", value).strip()) for name, value in told] == [
        ("Release", "3"),
        ("Since", "2031-05-04"),
    ]
    assert "<dt>Since</dt>" not in create_app(GOLDEN_PACKAGE).test_client().get("/").text
