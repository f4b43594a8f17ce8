"""The environment is read once, into settings that can be used, or refused by its own names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard_serve.app import create_app
from modelyard_serve.cli import main
from modelyard_serve.errors import SettingsError
from modelyard_serve.settings import NAMES, Settings, from_environment


def test_the_defaults() -> None:
    settings = from_environment({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.api_keys_file == settings.prediction_log == ""
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_has_a_variable_of_its_own() -> None:
    fields = [field.name for field in msgspec.structs.fields(Settings)]
    assert list(NAMES) == fields
    variables = [name for name, _ in NAMES.values()]
    assert len(set(variables)) == len(variables)
    assert all(meaning for _, meaning in NAMES.values())


def test_every_variable_is_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    environ = {
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "WEB_CONCURRENCY": "3",
        "LOG_LEVEL": "WARN",
        "MODEL_VERSION": "v12",
        "MODEL_SINCE": "2031-05-04",
        "MODELYARD_MAX_BODY_BYTES": "1000",
        "MODELYARD_MAX_ROWS": "10",
        "MODELYARD_BODY_SECONDS": "0.5",
        "MODELYARD_DRAIN_SECONDS": "0.5",
        "MODELYARD_API_KEYS_FILE": str(keys),
        "MODELYARD_RATE_LIMIT": "2.5",
        "MODELYARD_PREDICTION_LOG": str(tmp_path),
        "MODELYARD_PREDICTION_LOG_SAMPLE": "0.1",
        "MODELYARD_PREDICTION_LOG_MASK": "name, Größe (€),,",
        "MODELYARD_PREDICTION_LOG_BYTES": "4096",
        "MODELYARD_PREDICTION_LOG_FILES": "2",
    }
    assert {name for name, _ in NAMES.values()} == set(environ)
    assert from_environment(environ) == Settings(
        host="0.0.0.0",
        port=9000,
        workers=3,
        log_level="warning",
        model_version="v12",
        model_since="2031-05-04",
        max_body_bytes=1000,
        max_rows=10,
        body_seconds=0.5,
        drain_seconds=0.5,
        api_keys_file=str(keys),
        rate_limit=2.5,
        prediction_log=str(tmp_path),
        prediction_log_sample=0.1,
        prediction_log_mask=("name", "Größe (€)"),
        prediction_log_bytes=4096,
        prediction_log_files=2,
    )


def test_what_is_given_comes_before_the_environment() -> None:
    environ = {"PORT": "9000", "HOST": "::1", "WEB_CONCURRENCY": " "}
    settings = from_environment(environ, port=9001, host=None, workers=None)
    assert (settings.port, settings.host, settings.workers) == (9001, "::1", 1)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PORT", "http", "this is not a number"),
        ("PORT", "80.5", "this is not a number"),
        ("PORT", "0", "at least 1 and at most 65535"),
        ("PORT", "65536", "at most 65535"),
        ("WEB_CONCURRENCY", "0", "at least 1 and at most 512"),
        ("WEB_CONCURRENCY", "-1", "at least 1"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("MODELYARD_MAX_ROWS", "0", "at least 1"),
        ("MODELYARD_MAX_BODY_BYTES", "32M", "this is not a number"),
        ("MODELYARD_DRAIN_SECONDS", "-1", "at least 0"),
        ("MODELYARD_DRAIN_SECONDS", "inf", "at most 3600"),
        ("MODELYARD_DRAIN_SECONDS", "nan", "at least 0"),
        ("MODELYARD_RATE_LIMIT", "nan", "at least 0"),
        ("MODELYARD_RATE_LIMIT", "inf", "at least 0"),
        ("MODELYARD_PREDICTION_LOG_SAMPLE", "1.5", "at most 1"),
        ("MODELYARD_PREDICTION_LOG_BYTES", "100", "at least 4096"),
        ("MODELYARD_PREDICTION_LOG_FILES", "0", "at least 1"),
        ("MODELYARD_API_KEYS_FILE", "/nowhere/keys", "is no file"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(name: str, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        from_environment({name: text})
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["price, net", " night"]', ("price, net", " night")),
        ("[]", ()),
        ("[old] price,night", ("[old] price", "night")),
    ],
)
def test_a_mask_may_be_a_json_list(text: str, names: tuple[str, ...]) -> None:
    found = from_environment({"MODELYARD_PREDICTION_LOG_MASK": text})
    assert found.prediction_log_mask == names


def test_a_mask_of_another_column_stops_the_server(
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It would hide nothing: the column that was meant would be logged."""
    monkeypatch.setenv("MODELYARD_PREDICTION_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MODELYARD_PREDICTION_LOG_MASK", "night,carrier_")
    assert main([str(package)]) == 1
    said = capfd.readouterr().err
    assert "MODELYARD_PREDICTION_LOG_MASK: the model has no column 'carrier_'" in said
    assert "did you mean 'carrier'?" in said
    assert not (tmp_path / "log").exists()
    with pytest.raises(SettingsError, match="carrier_"):
        create_app(package, from_environment(os.environ))


def test_a_given_value_of_the_wrong_type_is_refused() -> None:
    wrong: dict[str, Any] = {"port": "9000"}
    with pytest.raises(SettingsError, match="cannot be used"):
        from_environment({}, **wrong)


def test_the_command_says_what_is_wrong_and_ends(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "http")
    assert main([str(package)]) == 1
    said = capsys.readouterr().err
    assert said == (
        "modelyard-serve: The server's settings cannot be used: PORT=http: this is not a number\n"
    )


def test_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for name, meaning in NAMES.values():
        assert name in said
        assert meaning in said


def test_check_verifies_a_package_and_ends(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PORT", raising=False)
    assert main([str(package), "--check"]) == 0
    assert "golden samples agree" in capsys.readouterr().out
    (package / "golden.json").write_bytes(b"{}")
    assert main([str(package), "--check"]) == 1
    assert "golden.json was changed after packing" in capsys.readouterr().err
