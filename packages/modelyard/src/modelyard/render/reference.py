"""The reference of modelyard.yaml, made from settings.py: nothing is written twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from modelyard import settings


@dataclass(frozen=True)
class Key:
    """One key: where it stands, what it takes, what it is for."""

    path: str
    type: str
    default: str | None
    description: str


def keys() -> Iterator[Key]:
    """Every key of every section, in the file's order."""
    schema = msgspec.json.schema(settings.Settings)
    sections = schema["$defs"]["Settings"]["properties"]
    for section in sections:
        kind = getattr(settings, section.capitalize() + "Section")
        body = schema["$defs"][kind.__name__]
        for name, entry in body["properties"].items():
            required = name in body.get("required", [])
            yield Key(
                path=f"{section}.{name}",
                type=_type(entry),
                default=None if required else _shown(entry.get("default")),
                description=entry.get("description", ""),
            )


def section_doc(section: str) -> str:
    """The first sentence of a section's meaning."""
    kind = getattr(settings, section.capitalize() + "Section")
    return str(kind.__doc__).strip().splitlines()[0]


def markdown_page() -> str:
    """The reference page for the docs."""
    lines = [
        "# modelyard.yaml: every key",
        "",
        "Generated from the code by `make docs`. Unknown keys are refused, and the nearest valid one "
        "is named. `modelyard config` prints this list; `modelyard config --schema` prints the JSON "
        "Schema for editors; `-S section.key=value` overrides a key for one run.",
    ]
    at = ""
    for key in keys():
        section = key.path.split(".")[0]
        if section != at:
            at = section
            lines += ["", f"## {section}", "", section_doc(section), ""]
            lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        default = "required" if key.default is None else f"`{key.default}`"
        kind = key.type.replace("|", "\\|")
        lines.append(f"| `{key.path}` | {kind} | {default} | {key.description} |")
    return "\n".join(lines) + "\n"


def _type(entry: dict[str, Any]) -> str:
    if "enum" in entry:
        return " \\| ".join(str(v) for v in entry["enum"]).replace("\\|", "|")
    if "anyOf" in entry:
        return " | ".join(_type(part) for part in entry["anyOf"])
    if entry.get("type") == "array":
        items = entry.get("items", {})
        return f"list of {_type(items)}" if items else "list"
    if entry.get("type") == "object" or "$ref" in entry:
        return "mapping"
    return str(entry.get("type", "value"))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(v) for v in value) + "]"
    return str(value) if value != {} else "{}"
