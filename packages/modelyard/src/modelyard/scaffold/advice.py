"""What to type next where init refuses a table: there is no modelyard.yaml yet to edit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import DataInvalid, closest

_KEY = re.compile(r"data\.(\w+)(?:: (\w+))?")
_PLACE = re.compile(r" (?:in|from) modelyard\.yaml")


def command(folder: str | Path, data: Path, *, adopt: bool) -> str:
    """The call of `modelyard init` that was made, as far as its table."""
    words = ["modelyard", "init"]
    words += [str(folder)] if str(folder) != "." else []
    words += ["--adopt"] if adopt else []
    return shlex.join([*words, "--data", str(data)])


@contextmanager
def advising(call: str, target: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Turn advice to edit modelyard.yaml into the option of init that sets the same key.

    Args:
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
            option = f"--target {shlex.quote(target)} -S data.{key[1]}={key[2] or 'VALUE'}"
        # What says no more than which key it is goes without saying.
        said = re.sub(rf"(?:^(?:edit|set) |: ){re.escape(key[0])}$", "", step)
        step = f"{said}: {call} {option}" if said else f"{call} {option}"
        raise DataInvalid(error.what, why=error.why, next_step=step) from error
