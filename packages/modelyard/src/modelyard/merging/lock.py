"""dvc.lock, three ways by stage: who changed a stage alone is followed.

A stage that both sides changed has an outcome on neither side that fits the merged project. Its
entry is left out: to DVC the stage was never run, and the next run works it out (or finds it in the
cache). The same holds for a stage that has read what the merge has replaced. There are never
markers in the file, so `dvc status` and `modelyard run` can read it at once.

The file is cut and put together as text. DVC writes YAML 1.2, where `Yes` is a word; read and
written again by a reader of YAML 1.1 it would come out as `true`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from modelyard.errors import capped
from modelyard.merging.outcome import AGAIN, Outcome

HEAD = "schema: '2.0'\nstages:\n"


@dataclass(frozen=True)
class Entry:
    """One stage: its text, and path -> md5 of what it read and wrote."""

    text: str
    deps: dict[str, str]
    outs: dict[str, str]


def merge(base: bytes, ours: bytes, theirs: bytes, path: str) -> Outcome:
    """Merge three versions of dvc.lock."""
    try:
        before, left, right = (entries(content.decode()) for content in (base, ours, theirs))
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())
        return Outcome(ours, True, f"{path} cannot be read ({said}); ours stays. Next: {AGAIN}")
    kept: dict[str, Entry] = {}
    both = []
    for name in dict.fromkeys((*left, *right)):
        one, other, old = left.get(name), right.get(name), before.get(name)
        if one == other or other == old:
            chosen = one
        elif one == old:
            chosen = other
        else:
            both.append(name)
            continue
        if chosen is not None:
            kept[name] = chosen
    stale = _stale(kept)
    for name in stale:
        del kept[name]
    content = (HEAD + "".join(entry.text for entry in kept.values())).encode()
    if not kept:
        content = HEAD.replace("stages:", "stages: {}").encode()
    if not (both or stale):
        return Outcome(content)
    reasons = []
    if both:
        reasons.append(f"both sides ran {capped(both)}")
    if stale:
        reasons.append(f"{capped(stale)} read what the other side has replaced")
    return Outcome(content, True, f"{path}: {'; '.join(reasons)}. Next: {AGAIN}")


def entries(text: str) -> dict[str, Entry]:
    """The stages of a dvc.lock in their order.

    Raises:
        ValueError: it is no dvc.lock.
        yaml.YAMLError: it is no YAML.
    """
    if not text.strip():
        return {}
    tree = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes strings, lists, mappings only
    stages = tree.get("stages") if isinstance(tree, dict) else None
    if not isinstance(stages, dict):
        if isinstance(tree, dict) and "stages" in tree:
            return {}
        raise ValueError("it holds no stages")
    # A stage is a key two spaces deep, with all that stands deeper below it.
    blocks = re.findall(r"^  (?![ -])\S.*\n(?:(?:   .*|\s*)\n)*", text + "\n", re.MULTILINE)
    if len(blocks) != len(stages):
        raise ValueError("its stages are not written as DVC writes them")
    return {
        name: Entry(
            block.rstrip("\n") + "\n", _files(stages[name], "deps"), _files(stages[name], "outs")
        )
        for name, block in zip(stages, blocks, strict=True)
    }


def _files(stage: Any, kind: str) -> dict[str, str]:
    listed = stage.get(kind) if isinstance(stage, dict) else None
    return {entry["path"]: entry.get("md5", "") for entry in listed or ()}


def _stale(stages: dict[str, Entry]) -> list[str]:
    """The stages that have read another version of a file than the one its stage has written."""
    written = {path: md5 for entry in stages.values() for path, md5 in entry.outs.items()}
    return [
        name
        for name, entry in stages.items()
        if any(path in written and md5 != written[path] for path, md5 in entry.deps.items())
    ]
