"""Model card and summary from hand-made records: figures, a person's words, one page."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import yaml
from report_records import LINEAGE, asking, empty, whole

from modelyard.errors import ModelyardError, UsageError
from modelyard.records import write_json
from modelyard.report import card, kept, reasons, summary, words
from modelyard.report.gather import Gathered, gather
from modelyard.tools import typst


def state(root: Path, **options: str) -> Gathered:
    return gather(whole(root, **options), LINEAGE["lineage"])


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_merge_keeps_a_persons_words_and_renews_the_rest() -> None:
    first = kept.merge(
        None,
        {"a": "one", "b": "two"},
        kept.section("a", "one") + "\n\nmine\n\n" + kept.section("b", "two"),
    )
    edited = first.text.replace("two", "two, says Ada")
    again = kept.merge(edited, {"a": "ONE", "b": "TWO", "c": "new"}, "")
    assert again.kept == ("b",)
    assert kept.texts(again.text) == {"a": "ONE", "b": "two, says Ada", "c": "new"}
    assert "\nmine\n" in again.text
    emptied = again.text.replace("two, says Ada\n", "")
    assert (
        kept.texts(kept.merge(emptied, {"a": "ONE", "b": "TWO", "c": "new"}, "").text)["b"] == "TWO"
    )


def test_the_card_has_the_records_figures_and_a_header(tmp_path: Path) -> None:
    found = state(tmp_path)
    path, merged = card.write(found)
    text = path.read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["pipeline_tag"] == "tabular-classification"
    values = {m["type"]: m["value"] for m in header["model-index"][0]["results"][0]["metrics"]}
    assert found.evaluation is not None
    assert values == {name: entry.value for name, entry in found.evaluation.metrics.items()}
    for said in ("## Intended use", "must not be used for", "## Data", "## Evaluation", "AS",
                 "wind_gust is missing", "0.7502 to 0.8122", "abababab", "## Limits"):  # fmt: skip
        assert said in text, said
    assert merged.kept == ()
    assert card.write(found)[0].read_text(encoding="utf-8") == text


def test_the_card_keeps_the_authors_words_and_header(tmp_path: Path) -> None:
    found = state(tmp_path)
    path, _ = card.write(found)
    text = path.read_text(encoding="utf-8")
    text = text.replace("license: other", "license: mit\nlanguage: de\nthumbnail: it.png")
    text = text.replace("- modelyard\n", "- modelyard\n- aviation\n", 1)
    text = re.sub(r"To answer the question.*", "For dispatchers, beside their own judgement.", text)
    path.write_text(text, encoding="utf-8")
    assert found.evaluation is not None
    metrics = dict(found.evaluation.metrics)
    metrics["roc_auc"] = msgspec.structs.replace(metrics["roc_auc"], value=0.9111)
    write_json(
        found.project.record("evaluate"), msgspec.structs.replace(found.evaluation, metrics=metrics)
    )
    path, merged = card.write(gather(found.project, LINEAGE["lineage"]))
    again = path.read_text(encoding="utf-8")
    assert merged.kept == ("intended-use",)
    assert "For dispatchers, beside their own judgement." in again
    assert "0.9111" in again
    header = yaml.safe_load(again.split("---\n")[1])
    assert (header["license"], header["language"], header["thumbnail"]) == ("mit", "de", "it.png")
    assert header["tags"][-1] == "aviation"


def test_a_card_without_a_run_and_a_broken_header(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelyardError, match=r"evaluate\.json is missing"):
        card.write(gather(empty(tmp_path / "none")))
    found = state(tmp_path)
    (tmp_path / card.FILE).write_text("---\n: [\n---\n# mine\n")
    with pytest.raises(ModelyardError, match="header"):
        card.write(found)
    assert "# mine" in (tmp_path / card.FILE).read_text()


@pytest.mark.parametrize(
    ("low", "high", "words_"),
    [
        (0.01, 0.02, "better beyond chance"),
        (-0.01, 0.02, "chance alone could explain it"),
        (-0.08, -0.02, "worse beyond chance"),
    ],
)
def test_the_verdict_is_what_the_interval_says(
    tmp_path: Path, low: float, high: float, words_: str
) -> None:
    found = state(tmp_path)
    assert found.gate is not None
    assert found.gate.comparison is not None
    pair = msgspec.structs.replace(
        found.gate.comparison, improvement=(low + high) / 2, low=low, high=high
    )
    gate = msgspec.structs.replace(found.gate, comparison=pair)
    assert words_ in reasons.result(replace(found, gate=gate))


def test_small_figures_keep_four_digits() -> None:
    found = [words.number(value) for value in (0.00052, 0.00049, 0.000512, 0.5, 0.0)]
    assert found == ["0.00052", "0.00049", "0.000512", "0.5000", "0.0000"]


def test_the_summary_is_one_page_with_the_records_numbers(tmp_path: Path) -> None:
    found = state(tmp_path)
    path, _ = summary.write(found)
    pdf = path.read_bytes()
    assert pdf.startswith(b"%PDF")
    data = summary._data(found, summary.sections(found))
    assert found.evaluation is not None
    for title, value, interval, baseline in data["figures"]:
        name = next(n for n in found.evaluation.metrics if words.metric_title(n) == title)
        entry = found.evaluation.metrics[name]
        assert value == words.number(entry.value)
        assert interval == f"{words.number(entry.low)} to {words.number(entry.high)}"
        assert baseline == words.number(found.evaluation.baseline[name])
    source = (tmp_path / summary.FILE).read_text(encoding="utf-8")
    assert "0.7823" in source
    assert "chance alone could explain it" in source
    text = _text_of(path)
    if text:
        assert "0.7823" in text
        assert "0.7502 to 0.8122" in text
        assert text.count("\f") == 1
        assert "What it looks at" in text, "a second picture stands where there is room"
        assert "False positive rate" in text


def _text_of(pdf: Path) -> str:
    try:
        done = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout


def test_a_summary_keeps_words_shrinks_and_refuses_a_second_page(tmp_path: Path) -> None:
    found = state(tmp_path)
    summary.write(found)
    source = tmp_path / summary.FILE
    old = reasons.family(found)
    mine = "We took #strong[boosting] since $x^2$ it is *fast*. " * 12
    source.write_text(source.read_text().replace(old, mine))
    path, merged = summary.write(found)
    assert merged.kept == ("why-this-model",)
    before = path.read_bytes()
    source.write_text(source.read_text().replace(mine, mine * 30))
    with pytest.raises(UsageError, match="does not fit on one page") as refused:
        summary.write(found)
    assert "why-this-model" in refused.value.why
    assert path.read_bytes() == before


def test_other_scripts_and_typst_marks_stay_text(tmp_path: Path) -> None:
    question = "هل ستتأخر الرحلة؟ 航班会延误吗 #panic() $x$ </section> | <script>"
    found = state(tmp_path)
    found = replace(found, project=asking(found.project, question))
    path, _ = summary.write(found)
    assert path.read_bytes().startswith(b"%PDF")
    text = card.write(found)[0].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "航班会延误吗" in text


def test_a_template_that_is_wrong_says_so() -> None:
    with pytest.raises(ModelyardError, match="could not typeset"):
        typst.typeset("#nonsense(", {}, {})


def test_reasons_are_honest_about_chance_and_a_search_that_gained_nothing(tmp_path: Path) -> None:
    found = state(tmp_path)
    study = found.study
    assert study is not None
    assert "gained" in reasons.tuning(found)
    first = next(t for t in study.trials if t.family == "boosting" and t.origin == "default")
    best = msgspec.structs.replace(first, score=0.9, state="complete")
    trials = tuple(best if t.number == first.number else t for t in study.trials)
    flat = msgspec.structs.replace(study, trials=trials)
    assert "gained nothing" in reasons.tuning(_with(found, flat))
    wide = msgspec.structs.replace(best, score=0.788, folds=(0.6, 0.95))
    doubtful = tuple(wide if t.number == first.number else t for t in study.trials)
    said = reasons.family(_with(found, msgspec.structs.replace(study, trials=doubtful)))
    assert "order of the families may be chance" in said


def _with(found: Gathered, study: object) -> Gathered:

    return replace(found, study=study)
