"""The server's settings: the environment, read once, into one frozen object."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from modelyard_serve.errors import SettingsError

Level = Literal["debug", "info", "warning", "error"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told to the server. Each field is one variable of the environment (see NAMES)."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    log_level: Level = "info"
    model_version: str = ""
    model_since: str = ""
    max_body_bytes: int = 32 * 1024 * 1024
    max_rows: int = 100_000
    body_seconds: float = 30.0
    drain_seconds: float = 2.0
    api_keys_file: str = ""
    rate_limit: float = 0.0
    prediction_log: str = ""
    prediction_log_sample: float = 1.0
    prediction_log_mask: tuple[str, ...] = ()
    prediction_log_bytes: int = 64 * 1024 * 1024
    prediction_log_files: int = 5


NAMES = {
    "host": ("HOST", "address to listen at; 0.0.0.0 for every interface"),
    "port": ("PORT", "port to listen at; 0 is refused"),
    "workers": ("WEB_CONCURRENCY", "worker processes"),
    "log_level": ("LOG_LEVEL", "debug, info (a line for each request), warning or error"),
    "model_version": ("MODEL_VERSION", "the release's number; the model's digest by default"),
    "model_since": ("MODEL_SINCE", "since when it is the champion, for the page"),
    "max_body_bytes": ("MODELYARD_MAX_BODY_BYTES", "largest body; streams are not counted"),
    "max_rows": ("MODELYARD_MAX_ROWS", "most rows in one request; streams are not counted"),
    "body_seconds": (
        "MODELYARD_BODY_SECONDS",
        "how long a client may be silent in the middle of a body",
    ),
    "drain_seconds": (
        "MODELYARD_DRAIN_SECONDS",
        "how long to go on answering after SIGTERM, while readiness says no",
    ),
    "api_keys_file": ("MODELYARD_API_KEYS_FILE", "a file of API keys, one a line; none: no keys"),
    "rate_limit": (
        "MODELYARD_RATE_LIMIT",
        "requests a second for each key or address and worker; 0: no limit",
    ),
    "prediction_log": ("MODELYARD_PREDICTION_LOG", "folder of the prediction log; none: no log"),
    "prediction_log_sample": (
        "MODELYARD_PREDICTION_LOG_SAMPLE",
        "share of requests logged, 0 to 1",
    ),
    "prediction_log_mask": (
        "MODELYARD_PREDICTION_LOG_MASK",
        "columns to leave out, by commas or as a JSON list",
    ),
    "prediction_log_bytes": ("MODELYARD_PREDICTION_LOG_BYTES", "size at which a file is closed"),
    "prediction_log_files": ("MODELYARD_PREDICTION_LOG_FILES", "closed files kept by each worker"),
}
"""Field -> the variable's name and its meaning. A test holds the two lists together."""

_LEAST = {
    "port": 1,
    "workers": 1,
    "max_body_bytes": 1,
    "max_rows": 1,
    "body_seconds": 0.1,
    "drain_seconds": 0,
    "rate_limit": 0,
    "prediction_log_sample": 0,
    "prediction_log_bytes": 4096,
    "prediction_log_files": 1,
}
_MOST = {"port": 65_535, "prediction_log_sample": 1, "workers": 512, "drain_seconds": 3600}


def from_environment(environ: Mapping[str, str], **given: Any) -> Settings:
    """Read the settings: what is `given` (and not None), else the environment, else the default.

    Raises:
        SettingsError: a value cannot be read, is out of range, or a file is not there.
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = NAMES[field.name][0]
        text = environ.get(name, "").strip()
        if given.get(field.name) is not None:
            found[field.name] = given[field.name]
        elif text:
            found[field.name] = _read(name, text, field.type)
    try:
        settings = msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"the settings cannot be used: {error}") from error
    for key, least in _LEAST.items():
        value = getattr(settings, key)
        if not least <= value <= _MOST.get(key, sys.float_info.max):
            most = f" and at most {_MOST[key]}" if key in _MOST else ""
            raise SettingsError(f"{NAMES[key][0]}={value}: give at least {least}{most}")
    if settings.api_keys_file and not Path(settings.api_keys_file).is_file():
        raise SettingsError(f"{NAMES['api_keys_file'][0]}: {settings.api_keys_file} is no file")
    return settings


def check_mask(settings: Settings, columns: Iterable[str]) -> None:
    """Refuse a mask that names a column the model does not have: it would hide nothing.

    Raises:
        SettingsError: with the nearest column.
    """
    known = list(columns)
    for name in settings.prediction_log_mask if settings.prediction_log else ():
        if name not in known:
            # Imported here: a server whose settings are right does not need it.
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:10])}."
            raise SettingsError(
                f"{NAMES['prediction_log_mask'][0]}: the model has no column {name!r}; {advice} "
                'A name with a comma goes into a JSON list: ["a, b", "c"]'
            )


def _names(text: str) -> tuple[str, ...]:
    """Names by commas, or as a JSON list, in which a name may hold a comma."""
    if text.startswith("["):
        try:
            return msgspec.json.decode(text, type=tuple[str, ...])
        except msgspec.DecodeError:
            pass  # a name by commas may begin so too; what is no column is refused later
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read(name: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if kind == Level:
        level = {"warn": "warning", "critical": "error"}.get(text.lower(), text.lower())
        if level not in ("debug", "info", "warning", "error"):
            raise SettingsError(f"{name}={text}: give debug, info, warning or error")
        return level
    if kind == tuple[str, ...]:
        return _names(text)
    try:
        return int(text) if kind is int else float(text)
    except ValueError as error:
        raise SettingsError(f"{name}={text}: this is not a number") from error
