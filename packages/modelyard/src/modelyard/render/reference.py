"""Every key of modelyard.yaml with its type, default and meaning, read from settings.py."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from modelyard.render.engine import inline
from modelyard.settings import Section, Settings

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


@dataclass(frozen=True)
class Key:
    """One key. `default` is YAML on one line, or None where the key must be given."""

    path: str
    type: str
    default: str | None
    description: str


def sections() -> dict[str, type[Section]]:
    """The sections of modelyard.yaml by name, in order."""
    return {name: _bare(hint) for name, hint in get_type_hints(Settings).items()}


def keys() -> list[Key]:
    """Every key, section by section, in the order of settings.py."""
    return [key for name, section in sections().items() for key in _of(section, name)]


def descriptions(section: str) -> dict[str, str]:
    """Key -> its one-line meaning, for one section."""
    return {
        key.path.rpartition(".")[2]: key.description for key in _of(sections()[section], section)
    }


def markdown_page() -> str:
    """The reference page."""
    parts = [
        "# modelyard.yaml",
        "",
        "Every key, its type, its default and its meaning. Unknown keys are refused. "
        "`modelyard run -S section.key=value` overrides a key for one run.",
    ]
    for name, section in sections().items():
        parts += ["", f"## {name}", "", first_line(section), ""]
        parts += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key in _of(section, name):
            default = "required" if key.default is None else f"`{key.default}`"
            cells = (f"`{key.path}`", key.type, default, key.description)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def _of(section: type[Section], name: str) -> Iterator[Key]:
    hints = get_type_hints(section, include_extras=True)
    for entry in msgspec.structs.fields(section):
        hint = hints[entry.name]
        # A hint may carry two: the named type's limits, and the key's own meaning.
        meanings = (getattr(note, "description", None) for note in get_args(hint)[1:])
        meaning = next(filter(None, meanings), "")
        default = None if entry.required else inline(_default(entry))
        yield Key(f"{name}.{entry.name}", _type_text(hint), default, meaning)


def _default(entry: Any) -> Any:
    if entry.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(entry.default)
    return msgspec.to_builtins(entry.default_factory())


def _type_text(hint: Any) -> str:
    """A type in a person's words."""
    hint = _bare(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(inline(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        named = [_type_text(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(named + (["null"] if type(None) in arguments else []))
    if origin is tuple:
        return f"list of {_type_text(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type_text(arguments[0])} to {_type_text(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Section):
        inner = ", ".join(f"{field.name}" for field in msgspec.structs.fields(hint))
        return f"{{{inner}}}"
    return _PLAIN[hint]


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def first_line(section: type[Section]) -> str:
    """What a section is for, in one sentence."""
    return (section.__doc__ or "").strip().splitlines()[0]
