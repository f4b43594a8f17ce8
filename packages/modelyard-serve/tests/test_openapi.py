"""The document is valid OpenAPI, says what the scorer takes, and its page needs nothing else."""

from __future__ import annotations

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from handmade import FEATURES, write_package
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from modelyard_serve.app import create_app
from modelyard_serve.contract import (
    GOLDEN,
    MANIFEST,
    Feature,
    Golden,
    Manifest,
    file_digest,
    read_golden,
    read_manifest,
)
from modelyard_serve.encoding import encode
from modelyard_serve.guard import OPEN
from modelyard_serve.openapi import DOCS_CSS, docs_page, document
from modelyard_serve.openapi.columns import MAX_LEVELS, column_schema, percent
from modelyard_serve.openapi.examples import examples_of, labels_of
from modelyard_serve.scorer import Scorer

CONTRACT = Path(__file__).resolve().parents[3] / "contract" / "format-1"
NASTY = (
    "Größe (€)",
    "a/b~c%20",
    '<b>"bold"</b>',
    "it's; rm -rf $HOME `date`",
    "{name}",
    "@file",
    "two\nlines, and \\",
    "rows",
    "$ref",
    "",
)
METHODS = ("get", "post")
MODEL = "/v2/models/{name}"
ROUTES = {
    *(("post", f"/v1/{name}") for name in ("predict", "explain", "what-if")),
    *(("post", path) for path in ("/invocations", f"{MODEL}/infer")),
    ("post", f"{MODEL}/versions/{{version}}/infer"),
    *(("get", path) for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/model")),
    *(("get", path) for path in ("/ping", "/health", "/version", "/v2")),
    *(("get", f"/v2/health/{name}") for name in ("live", "ready")),
    *(("get", MODEL + more) for more in ("", "/ready")),
    *(("get", f"{MODEL}/versions/{{version}}{more}") for more in ("", "/ready")),
}


def _manifest(**changes: Any) -> Manifest:
    plain = Manifest(
        format=1, name="m", task="binary", target="t", features=FEATURES, classes=("no", "yes")
    )
    return msgspec.structs.replace(plain, **changes)


def _golden(*rows: dict[str, Any], scores: list[list[float]] | None = None) -> Golden:
    return Golden(rows=list(rows), scores=scores or [], tolerance=1e-9)


def _nasty() -> tuple[Manifest, Golden]:
    kinds: list[Any] = ["number", "category", "boolean", "datetime", "integer"]
    features = tuple(
        Feature(
            name=name,
            kind=kinds[place % 5],
            levels=NASTY if kinds[place % 5] == "category" else (),
            parts=("year",) if kinds[place % 5] == "datetime" else (),
            time_format="%d.%m.%Y <i>" if place == 3 else None,
            missing_share=0.25 if place % 2 else 0.0,
        )
        for place, name in enumerate(NASTY)
    )
    manifest = _manifest(
        name="<b>a/b</b> 'c' {version} €", target="<i>t</i>", features=features, classes=NASTY[:2]
    )
    row = {f.name: NASTY[3] if f.kind == "category" else None for f in features}
    return manifest, _golden(row, scores=[[0.4, 0.6]])


def _cases() -> dict[str, tuple[Manifest, Golden]]:
    golden = _golden(dict.fromkeys((f.name for f in FEATURES), None), scores=[[0.2, 0.5, 0.3]])
    return {
        "format-1": (read_manifest(CONTRACT), read_golden(CONTRACT)),
        "multiclass": (_manifest(task="multiclass", classes=("a", "b", "c")), golden),
        "regression": (_manifest(task="regression", classes=()), _golden({}, scores=[[3.5]])),
        "no golden rows": (_manifest(), _golden()),
        "nasty": _nasty(),
    }


def _document(manifest: Manifest, golden: Golden, **more: Any) -> dict[str, Any]:
    limits = {"row_limit": 1000, "byte_limit": 1024 * 1024}
    return document(manifest, golden, version="3", digest="ab" * 32, **limits | more)


def _operations(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, item[method])
        for path, item in found["paths"].items()
        for method in METHODS
        if method in item
    ]


def _checker(found: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of `schema` that can follow references into the document."""
    return Draft202012Validator({**schema, "components": found["components"]})


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("case", _cases())
def test_the_document_is_valid_and_plain(case: str, secured: bool) -> None:
    found = _document(*_cases()[case], secured=secured)
    assert [error.message for error in OpenAPIV31SpecValidator(found).iter_errors()] == []
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    names = [operation["operationId"] for _, _, operation in _operations(found)]
    assert len(names) == len(set(names))
    assert {(method, path) for method, path, _ in _operations(found)} == ROUTES
    assert all(len(operation["summary"]) <= 60 for _, _, operation in _operations(found))


@pytest.mark.parametrize("case", _cases())
def test_every_example_fits_its_own_schema(case: str) -> None:
    found = _document(*_cases()[case])
    checked = 0
    contents = [
        content
        for _, _, operation in _operations(found)
        for content in (
            operation.get("requestBody", {}).get("content", {}),
            *(answer.get("content", {}) for answer in operation["responses"].values()),
        )
    ] + [answer["content"] for answer in found["components"]["responses"].values()]
    for content in contents:
        for media in content.values():
            for example in media.get("examples", {}).values():
                _checker(found, media["schema"]).validate(example["value"])
                checked += 1
    row = found["components"]["schemas"]["Row"]
    for example in row["examples"]:
        _checker(found, row).validate(example)
        checked += 1
    assert checked > 8


def test_the_hand_made_package_is_described(package: Path) -> None:
    found = _document(read_manifest(package), read_golden(package))
    assert list(OpenAPIV31SpecValidator(found).iter_errors()) == []
    row = found["components"]["schemas"]["Row"]
    assert row["additionalProperties"] is False
    assert row["required"] == [feature.name for feature in FEATURES]
    distance = row["properties"]["distance"]
    assert distance["x-training-range"] == [100, 5000]
    assert not {"minimum", "maximum"} & set(distance)


@pytest.mark.parametrize("made", ["golden", "hand"])
def test_examples_score_and_answers_are_the_scorers(made: str, tmp_path: Path) -> None:
    package = CONTRACT if made == "golden" else write_package(tmp_path / "package")
    scorer = Scorer(package)
    found = _document(scorer.manifest, read_golden(package))
    for row in found["components"]["schemas"]["Row"]["examples"]:
        assert np.isfinite(scorer.score_rows([row]).outputs).all()
    post = found["paths"]["/v1/predict"]["post"]
    body = post["requestBody"]["content"]["application/json"]["examples"]
    answer = post["responses"]["200"]["content"]["application/json"]["examples"]["rows"]["value"]
    scores = scorer.score_rows(body["rows"]["value"]["rows"])
    assert answer["predictions"] == scores.labels.tolist()
    np.testing.assert_allclose(answer["probabilities"], scores.outputs, atol=1e-9)
    infer = found["paths"]["/v2/models/{name}/infer"]["post"]
    sent = infer["requestBody"]["content"]["application/json"]["examples"]["rows"]["value"]
    given = infer["responses"]["200"]["content"]["application/json"]["examples"]["rows"]["value"]
    assert not any(value is None for tensor in sent["inputs"] for value in tensor["data"])
    tensors = {tensor["name"]: tensor["data"] for tensor in sent["inputs"]}
    scores = scorer.score(tensors)
    assert given["outputs"][0]["data"] == scores.labels.tolist()
    np.testing.assert_allclose(given["outputs"][1]["data"], scores.outputs.ravel(), atol=1e-9)
    # The four forms of MLflow's dialect are the same rows.
    forms = found["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    rows = forms["examples"]["dataframe_records"]["value"]["dataframe_records"]
    split = forms["examples"]["dataframe_split"]["value"]["dataframe_split"]
    assert [dict(zip(split["columns"], row, strict=True)) for row in split["data"]] == rows
    columns = forms["examples"]["inputs"]["value"]["inputs"]
    np.testing.assert_array_equal(
        encode(scorer.manifest.features, columns),
        encode(scorer.manifest.features, {n: [row[n] for row in rows] for n in columns}),
    )


def _renamed(folder: Path) -> Path:
    """The hand-made package under names that want escaping everywhere."""
    wild = ("a/b~c%20 <b>", "it's; rm -rf $HOME `date`", "@file", "{name}", "")
    names = dict(zip((f.name for f in FEATURES), wild, strict=True))
    write_package(folder)
    golden = read_golden(folder)
    rows = [{names[name]: value for name, value in row.items()} for row in golden.rows]
    (folder / GOLDEN).write_bytes(msgspec.json.encode(msgspec.structs.replace(golden, rows=rows)))
    manifest = read_manifest(folder, verify=False)
    changed = msgspec.structs.replace(
        manifest,
        name="a b 'c' <i> €",
        features=tuple(msgspec.structs.replace(f, name=names[f.name]) for f in FEATURES),
        files=manifest.files | {GOLDEN: file_digest(folder / GOLDEN)},
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))
    return folder


def _fits(found: dict[str, Any], operation: dict[str, Any], answer: Any) -> Any:
    """Check an answer against what the document says of it, and return its body, decoded."""
    said = operation["responses"][str(answer.status_code)]
    if "$ref" in said:
        said = found["components"]["responses"][said["$ref"].rsplit("/", 1)[1]]
    kind = answer.content_type.partition(";")[0]
    schema = said["content"][kind]["schema"]
    if kind == "application/x-ndjson":
        schema = {"type": "array", "items": {"$ref": "#/components/schemas/PredictionLine"}}
        body = _lines(answer.text)
    else:
        body = msgspec.json.decode(answer.data) if kind.endswith("json") else answer.text
    _checker(found, schema).validate(body)
    return body


def _lines(text: str) -> list[Any]:
    return [msgspec.json.decode(line) for line in text.splitlines()]


def _same(answer: Any, example: Any) -> bool:
    """Equal, numbers within rounding."""
    if isinstance(example, dict):
        keys = answer.keys() == example.keys()
        return keys and all(_same(answer[key], example[key]) for key in example)
    if isinstance(example, list):
        return len(answer) == len(example) and all(map(_same, answer, example))
    if isinstance(example, float):
        return bool(answer == pytest.approx(example, abs=1e-9))
    return bool(answer == example)


@pytest.mark.parametrize("made", ["golden", "hand", "renamed"])
def test_the_service_answers_as_the_document_says(made: str, tmp_path: Path) -> None:
    makers = {"hand": write_package, "renamed": _renamed}
    package = CONTRACT if made == "golden" else makers[made](tmp_path / "package")
    client = create_app(package).test_client()
    found = msgspec.json.decode(client.get("/openapi.json").data)
    parameters = found["components"]["parameters"].values()
    asked = 0
    for method, path, operation in _operations(found):
        address = path
        for each in parameters:
            address = address.replace("{" + each["name"] + "}", quote(each["example"], safe=""))
        if method == "get":
            assert _fits(found, operation, client.get(address))
            continue
        gives = operation["responses"]["200"]["content"]
        for kind, media in operation["requestBody"]["content"].items():
            accept = kind if kind in gives else "application/json"
            headers = {"Content-Type": kind, "Accept": accept}
            for name, example in media["examples"].items():
                value = example["value"]
                data = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
                answer = client.post(address, data=data, headers=headers)
                assert answer.status_code == 200, (path, kind, name, answer.text)
                body = _fits(found, operation, answer)
                shown = gives[accept].get("examples", {}).get(name, {}).get("value")
                if shown and accept == "text/csv":
                    assert body.splitlines()[0] == shown.splitlines()[0]
                elif shown:
                    assert _same(body, _lines(shown) if isinstance(shown, str) else shown)
                asked += 1
        wrong = client.post(address, data=b"{", headers={"Content-Type": "application/json"})
        assert wrong.status_code == 400
        _fits(found, operation, wrong)
    assert asked >= 14


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_labels_are_decided_as_the_scorer_decides(package: Path, threshold: float | None) -> None:
    scorer = Scorer(package)
    scorer.manifest = msgspec.structs.replace(scorer.manifest, threshold=threshold)
    outputs = [[0.5, 0.5], [0.6, 0.4], [0.61, 0.39], [0.1, 0.9]]
    expected = scorer.decide(np.array(outputs)).tolist()
    assert labels_of(scorer.manifest, outputs) == expected


def test_columns_say_what_they_take() -> None:
    many = column_schema(
        Feature(name="c", kind="category", levels=tuple(f"l{i}" for i in range(500)))
    )
    assert len(many["anyOf"][0]["enum"]) == MAX_LEVELS
    assert many["x-levels-total"] == 500
    check = Draft202012Validator(many)
    assert check.is_valid("never seen")
    assert check.is_valid(None)
    assert not check.is_valid(3)
    assert Draft202012Validator(
        column_schema(Feature(name="c", kind="category", levels=("415",)))
    ).is_valid(415)
    number = Draft202012Validator(column_schema(Feature(name="n", kind="number", maximum=1.0)))
    assert [number.is_valid(v) for v in (9.5, None, "9.5", [])] == [True, True, False, False]
    night = Feature(name="b", kind="boolean", levels=("Day", "Night"))
    boolean = Draft202012Validator(column_schema(night))
    assert [boolean.is_valid(v) for v in (True, 0, "Night", None, "?")] == [True] * 4 + [False]
    when = Feature(name="d", kind="datetime", parts=("year",), minimum=0.0, maximum=1.5)
    assert column_schema(when)["x-training-range"] == ["1970-01-01T00:00:00", "1970-01-02T12:00:00"]
    far = msgspec.structs.replace(when, maximum=1e12)
    assert "x-training-range" not in column_schema(far)
    assert [percent(share) for share in (0.0, 0.0001, 0.25)] == [
        "0.0 %",
        "less than 0.1 %",
        "25.0 %",
    ]


def test_keys_are_described_only_where_they_are_asked_for(package: Path) -> None:
    manifest, golden = read_manifest(package), read_golden(package)
    open_ = _document(manifest, golden)
    assert "security" not in open_
    assert "securitySchemes" not in open_["components"]
    assert all("401" not in operation["responses"] for _, _, operation in _operations(open_))
    keyed = _document(manifest, golden, secured=True)
    assert keyed["security"] == [{"ApiKey": []}, {"Bearer": []}, {"Basic": []}]
    unkeyed = {path for _, path, op in _operations(keyed) if op.get("security") == []}
    assert unkeyed == OPEN
    for _, path, operation in _operations(keyed):
        assert ("401" in operation["responses"]) == (path not in unkeyed)


def test_odd_golden_rows_become_whole_examples() -> None:
    golden = _golden(
        {"distance": "far"},
        {"night": "yes", "carrier": "B6"},
        scores=[[0.5, 0.5], [0.1, 0.9]],
    )
    found = examples_of(_manifest(), golden)
    names = [feature.name for feature in FEATURES]
    assert [list(row) for row in found.shown] == [names, names]
    assert found.rows[0]["night"] is True
    assert found.outputs == [[0.1, 0.9]]
    assert found.full_rows == [found.typical]
    assert found.full_outputs == []


class _Page(HTMLParser):
    """Gathers tags, the addresses that the page names, and the text of each <pre>."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.pre: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag == "pre":
            self.inside = True
            self.pre.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.pre[-1] += data


def _page(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    return page


@pytest.mark.parametrize("case", _cases())
def test_the_page_needs_nothing_from_elsewhere(case: str) -> None:
    text = docs_page(_document(*_cases()[case]))
    page = _page(text)
    assert {link for link in page.links if not link.startswith("#")} == {
        "docs/docs.css",
        "data:,",
        "openapi.json",
        "./",
    }
    assert not {"script", "style", "iframe", "img", "b", "i"} & set(page.tags)
    assert "style" not in page.attributes
    assert not {name for name in page.attributes if name.startswith("on")}
    assert set(re.findall(r"https?://[^/\s'\"<&]+", text)) == {"http://localhost:8080"}
    assert not re.search(r"url\(|@import|//", DOCS_CSS)


def _curls(page: _Page) -> list[list[str]]:
    return [shlex.split(text) for text in page.pre if text.startswith("curl ")]


@pytest.mark.parametrize("case", _cases())
def test_the_commands_say_what_the_document_says(case: str) -> None:
    found = _document(*_cases()[case])
    expected = []
    for _, _, operation in _operations(found):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            examples = media.get("examples", {})
            expected += [each["value"] for name, each in examples.items() if name != "typical"]
    commands = _curls(_page(docs_page(found)))
    sent = [words[words.index("--data-raw") + 1] for words in commands if "--data-raw" in words]
    assert len(sent) == len(expected) >= 10
    for text, value in zip(sent, expected, strict=True):
        assert (text if isinstance(value, str) else msgspec.json.decode(text)) == value


def test_addresses_in_commands_are_encoded() -> None:
    commands = _curls(_page(docs_page(_document(*_nasty()), address="http://host:1/under/")))
    addresses = [words[2] for words in commands]
    name = "%3Cb%3Ea%2Fb%3C%2Fb%3E%20%27c%27%20%7Bversion%7D%20%E2%82%AC"
    assert f"http://host:1/under/v2/models/{name}/versions/3/infer" in addresses
    assert not any("{" in address or " " in address for address in addresses)


def test_the_page_shows_columns_and_escapes_them() -> None:
    text = docs_page(_document(*_nasty(), secured=True))
    assert "Größe (€)" in text
    assert "&lt;b&gt;&#34;bold&#34;&lt;/b&gt;" in text
    assert "missing in 25.0 % of training" in text
    assert "X-API-Key: $API_KEY" in text
    shown = docs_page(_document(read_manifest(CONTRACT), read_golden(CONTRACT)))
    for piece in ("payment_method", "Electronic check", "18.25", "118.75", "0 to 72"):
        assert piece in re.sub(r"</?span>", "", shown)
