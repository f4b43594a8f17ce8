"""modelyard.yaml of a new project: the keys that a person wants to edit, each with its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelyard.render.engine import fill, inline
from modelyard.render.reference import descriptions, first_line, sections
from modelyard.settings import Settings

SHOWN = {
    "project": ("name",),
    "data": ("path", "target", "task", "positive", "id", "time", "group", "exclude", "types"),
    "split": ("kind", "valid", "test", "seed"),
    "tune": ("budget", "trials", "metric", "families", "workers"),
    "gate": ("limits", "baseline", "champion", "margin"),
    "track": ("uri",),
    "ci": ("services", "branch", "owners", "environments"),
}
"""Keys that are written though they have their default; a key with another value always is."""


def project_file(settings: Settings, reasons: Mapping[str, str] | None = None) -> str:
    """The content of modelyard.yaml.

    Args:
        settings: what the file must say when it is read again.
        reasons: `section.key` -> why modelyard put this value; written beside it.
    """
    body = []
    for name, section in sections().items():
        values = getattr(settings, name)
        meanings = descriptions(name)
        entries = []
        for field in msgspec.structs.fields(section):
            value = msgspec.to_builtins(getattr(values, field.name))
            if field.name in SHOWN.get(name, ()) or not _is_default(field, value):
                entries.append(
                    {
                        "key": field.name,
                        "yaml": inline(_without_nulls(value)),
                        "meaning": meanings[field.name],
                        "reason": _line((reasons or {}).get(f"{name}.{field.name}", "")),
                    }
                )
        if entries:
            body.append({"name": name, "meaning": first_line(section), "entries": entries})
    return fill("modelyard.yaml.j2", sections=body)


def _is_default(field: Any, value: Any) -> bool:
    if field.required:
        return False
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return bool(msgspec.to_builtins(default) == value)


def _without_nulls(value: Any) -> Any:
    """A limit says only what it limits."""
    if not isinstance(value, dict):
        return value
    return {
        name: {k: v for k, v in entry.items() if v is not None}
        if isinstance(entry, dict)
        else entry
        for name, entry in value.items()
    }


def _line(text: str) -> str:
    return " ".join(text.split())
