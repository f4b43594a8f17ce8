"""What to type next where init refuses a table: there is no modelyard.yaml yet to edit."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import DataInvalid, closest

Sections = Mapping[str, Mapping[str, Any]]

_KEY = re.compile(r"data\.(\w+)(?:: (\w+|\[.*\]))?")
_PLACE = re.compile(r" (?:in|from) modelyard\.yaml")


def command(folder: str | Path, data: Path, *, adopt: bool) -> str:
    """The call of `modelyard init` that was made, as far as its table."""
    words = ["modelyard", "init"]
    words += [str(folder)] if str(folder) != "." else []
    words += ["--adopt"] if adopt else []
    return shlex.join([*words, "--data", str(data)])


@contextmanager
def advising(
    call: str, target: str, sections: Sections, columns: Sequence[str] = ()
) -> Iterator[None]:
    """Turn advice to edit modelyard.yaml into the option of init that sets the same key.

    Args:
        sections: what the call set by its options already; the command sets it again.
        columns: the table's columns, once it was read; a target that is none of them becomes the
            nearest one in the command.
    """
    try:
        yield
    except DataInvalid as error:
        step, told = _PLACE.subn("", error.next_step)
        key = _KEY.search(step)
        if not told or key is None:
            raise
        if key[1] == "target":
            found = None if target in columns else closest(target, columns)
            option = f"--target {shlex.quote(found) if found else 'COLUMN'}"
        else:
            value = shlex.quote(f"data.{key[1]}={key[2] or 'VALUE'}")
            option = f"--target {shlex.quote(target)} -S {value}"
        option += "".join(
            f" -S {shlex.quote(pair)}" for pair in _pairs(sections) if not _of(pair, key[1])
        )
        # What says no more than which key it is goes without saying.
        said = re.sub(rf"(?:^(?:edit|set) |: ){re.escape(key[0])}$", "", step)
        step = f"{said}: {call} {option}" if said else f"{call} {option}"
        raise DataInvalid(error.what, why=error.why, next_step=step) from error


def _of(pair: str, key: str) -> bool:
    """Whether `section.key=value` sets this key of the data section, or something below it."""
    return re.match(rf"data\.{key}[.=]", pair) is not None


def _pairs(tree: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What was set, as `-S` takes it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{place}{key}.")
        elif value is not None or place != "tune.":  # no budget goes without saying beside trials
            yield f"{place}{key}={_text(value)}"


def _text(value: Any) -> str:
    """A value in YAML; a text stands bare where it is read as that text."""
    if isinstance(value, str):
        try:
            if yaml.safe_load(value) == value:
                return value
        except yaml.YAMLError:
            pass
    elif not isinstance(value, bool | int | float | list | tuple | None):
        return str(value)  # a date
    return json.dumps(value, ensure_ascii=False, default=str)
