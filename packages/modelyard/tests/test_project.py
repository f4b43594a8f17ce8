"""modelyard.yaml is strict, and says what it wants; overrides are a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard import project
from modelyard.errors import NotAProject, UsageError
from modelyard.render.reference import keys

MINIMAL: dict[str, Any] = {
    "project": {"name": "churn"},
    "data": {"path": "data/raw/c.csv", "target": "churn"},
}


def settings(**sections: Any) -> Any:
    return project.settings_from({**MINIMAL, **sections}, "modelyard.yaml")


def test_defaults_are_what_the_reference_says() -> None:
    found = settings()
    assert (found.split.valid, found.split.test) == (0.15, 0.2)
    assert found.tune.budget == "60s"
    assert found.gate.champion == "not_worse"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"tune": {"bugdet": "3s"}}, "'tune.bugdet', did you mean 'budget'?"),
        ({"tunes": {}}, "'tunes', did you mean 'tune'?"),
        ({"gate": {"limits": {"roc_auc": {"mni": 1}}}}, "did you mean 'min'?"),
        ({"tune": {"folds": "many"}}, "tune.folds"),
        ({"tune": {"folds": 1}}, "tune.folds"),
        ({"tune": {"budget": "soon"}}, "tune.budget"),
        ({"tune": {"budget": None}}, "needs a budget"),
        ({"tune": {"threshold": "1.5"}}, "tune.threshold"),
        ({"tune": {"families": ["trees"]}}, "tune.families"),
        ({"split": {"valid": 0.5, "test": 0.4}}, "less than 20 %"),
        ({"split": {"kind": "time"}}, "split.kind: time needs"),
        ({"split": {"kind": "group"}}, "needs data.group"),
        ({"data": {"path": "/etc/passwd", "target": "x"}}, "inside the project"),
        ({"data": {"path": "../up.csv", "target": "x"}}, "inside the project"),
        ({"data": {"path": "a.csv", "target": "x", "id": "x"}}, "is also the id"),
        ({"data": {"path": "a.csv"}}, "missing key 'target'"),
        ({"project": {"name": "no spaces please"}}, "project.name"),
        ({"data": {"path": "a.csv", "target": "x", "types": {"x": "numeric"}}}, "data.types"),
    ],
)
def test_what_is_wrong_is_named(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(**sections)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_a_block_of_yaml_may_end_with_a_line() -> None:
    """`|` leaves a line's end, which would get into an image's name; a column may have one."""
    found = settings(image={"name": "team/churn\n"}, data={"path": "t.csv", "target": "churn\n"})
    assert found.image.name == "team/churn"
    assert found.data.target == "churn\n"
    with pytest.raises(UsageError, match=r"image\.name"):
        settings(image={"name": "team/churn\nFROM evil"})


def test_overrides_are_read_as_yaml() -> None:
    tree = project.parse_overrides(["tune.budget=30s", "split.test=0.3", "data.exclude=[a, b]"])
    assert tree == {
        "tune": {"budget": "30s", "trials": None},
        "split": {"test": 0.3},
        "data": {"exclude": ["a", "b"]},
    }
    nested = project.parse_overrides(["gate.limits.roc_auc.min=0.7"])
    assert nested["gate"]["limits"] == {"roc_auc": {"min": 0.7}}


def test_a_number_of_trials_replaces_the_budget() -> None:
    assert project.parse_overrides(["tune.trials=5"])["tune"] == {"trials": 5, "budget": None}
    both = project.parse_overrides(["tune.trials=5", "tune.budget=9s"])["tune"]
    assert both["budget"] == "9s"


def test_an_override_below_a_key_leaves_its_neighbours() -> None:
    limits = {"roc_auc": {"min": 0.8}, "f1": {"min": 0.5, "max": 0.9}}
    tree = {**MINIMAL, "gate": {"limits": limits}, "tune": {"trials": 5, "budget": "9s"}}

    def over(tmp: Path, *pairs: str) -> Any:
        return project.resolve(tmp, project.parse_overrides(pairs), "-S").settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project, "_read_yaml", lambda path: json.loads(json.dumps(tree)))
        found = over(Path("/nowhere"), "gate.limits.roc_auc.min=0.7", "gate.limits.f1.max=0.95")
        assert found.gate.limits["roc_auc"].min == 0.7
        assert (found.gate.limits["f1"].min, found.gate.limits["f1"].max) == (0.5, 0.95)
        assert over(Path("/nowhere"), "gate.limits={}").gate.limits == {}
        assert over(Path("/nowhere"), "tune.budget=30s").tune.trials is None


def test_the_clock_counts_beside_trials_where_it_is_named() -> None:
    assert settings(tune={"trials": 5}).tune.budget is None
    assert settings(tune={"trials": 5, "budget": "9s"}).tune.budget == "9s"
    # A notebook's overrides are told as the command line's are.
    asked = project.clock_or_trials({"tune": {"trials": 5}, "split": {"seed": 1}})
    assert asked == {"tune": {"trials": 5, "budget": None}, "split": {"seed": 1}}


def test_numbers_and_dates_are_texts_where_texts_are_asked_for() -> None:
    pairs = [
        "data.id=1", "data.positive=yes", "data.missing=[-999, -1.5]", "tune.threshold=0.3",
        "split.valid_from=2024-09-01", "data.types.Sepal.Length=number",
    ]  # fmt: skip
    tree = project.parse_overrides(pairs)
    assert tree["data"]["types"] == {"Sepal.Length": "number"}
    split = {"kind": "time", "test_from": "2025-01-01", **tree["split"]}
    data = {**MINIMAL["data"], "time": "when", **tree["data"]}
    found = settings(data=data, split=split, tune=tree["tune"])
    assert (found.data.id, found.data.positive) == ("1", "yes")
    assert found.data.missing == ("-999", "-1.5")
    assert (found.tune.threshold, found.split.valid_from) == ("0.3", "2024-09-01")
    # The same words in the file itself, where YAML has read them already.
    file = yaml.safe_load("{id: 1, positive: 2, missing: [-999], types: {2019: number}}")
    found = settings(data={**MINIMAL["data"], **file})
    assert (found.data.id, found.data.positive, found.data.missing) == ("1", "2", ("-999",))
    assert found.data.types == {"2019": "number"}
    with pytest.raises(UsageError, match="in quotes"):
        settings(data={**MINIMAL["data"], "positive": True})


@pytest.mark.parametrize("pair", ["tune", "tune=3", "=3", "tune.budget", "a.b.c=1", "tune.x=[1"])
def test_a_pair_that_is_none_is_a_usage_error(pair: str) -> None:
    with pytest.raises(UsageError):
        project.parse_overrides([pair])


def test_loading_finds_the_root_and_merges_the_overrides(tmp_path: Path) -> None:
    (tmp_path / "modelyard.yaml").write_text(yaml.safe_dump({**MINIMAL, "tune": {"seed": 3}}))
    text = project.overrides_text({"tune": {"folds": 3}})
    assert set(yaml.safe_load(text)) == set(project.SECTIONS)
    (tmp_path / "overrides.yaml").write_text(text)
    inner = tmp_path / "data" / "raw"
    inner.mkdir(parents=True)
    found = project.load(inner)
    assert found.root == tmp_path.resolve()
    assert (found.settings.tune.seed, found.settings.tune.folds) == (3, 3)
    assert found.data == tmp_path.resolve() / "data/raw/c.csv"


def test_outside_a_project_the_message_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotAProject) as caught:
        project.load(tmp_path)
    assert "modelyard init" in caught.value.next_step


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "just words", "\ufeff\x00", "data: 3"])
def test_a_file_that_is_no_project_file_is_a_usage_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "modelyard.yaml").write_text(content)
    with pytest.raises(UsageError):
        project.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1.5m", 90), ("2h", 7200), ("45", 45), (None, None)]
)
def test_budgets(text: str | None, seconds: float | None) -> None:
    assert project.budget_seconds(text) == seconds


@pytest.mark.parametrize("text", ["5min", "1.2.3s", "-3s", "", "soon"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        project.budget_seconds(text)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    schema = project.json_schema()
    assert json.dumps(schema)
    assert schema["$defs"]["TuneSection"]["additionalProperties"] is False
    documented = {key.path for key in keys()}
    for section in project.SECTIONS:
        body = schema["$defs"][section.capitalize() + "Section"]["properties"]
        assert {f"{section}.{name}" for name in body} <= documented
    assert all(key.description for key in keys())


DEPLOYED = {"environments": {"staging": {}, "production": {"context": "prod"}}}


def test_the_pipelines_deploy_where_there_is_a_section() -> None:
    for ci, deploy in ((["staging"], DEPLOYED), (["staging"], {}), ([], DEPLOYED)):
        settings(ci={"environments": ci}, deploy=deploy)
    with pytest.raises(UsageError) as caught:
        settings(ci={"environments": ["staging", "prod"]}, deploy=DEPLOYED)
    assert "ci.environments names 'prod'" in caught.value.what
    assert "deploy.environments lacks (nearest: 'production')" in caught.value.what
    with pytest.raises(UsageError, match=r"\(it has staging, production\)"):
        settings(ci={"environments": ["qa"]}, deploy=DEPLOYED)
