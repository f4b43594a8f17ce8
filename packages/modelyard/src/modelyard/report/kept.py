"""Generated text that a person may edit: what they wrote is kept when the rest is written anew.

A section stands between two comments; the first carries a digest of what was generated:

    <!-- modelyard: intended-use 1f0c2a9b -->
    … text …
    <!-- /modelyard: intended-use -->

While the text between them has that digest, nobody has touched it and it is generated anew. Any
other text is a person's and stays. A section that was emptied is generated again. What stands
outside of the sections stays where it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SECTION = re.compile(
    r"<!-- modelyard: (?P<name>[\w-]+) (?P<digest>[0-9a-f]{8}) -->\n(?P<text>.*?)"
    r"<!-- /modelyard: (?P=name) -->",
    re.DOTALL,
)


@dataclass(frozen=True)
class Merged:
    """The new text, and the names of the sections that a person has written."""

    text: str
    kept: tuple[str, ...]


def section(name: str, text: str) -> str:
    """A generated section with its marks."""
    body = text.strip("\n") + "\n"
    return f"<!-- modelyard: {name} {_digest(body)} -->\n{body}<!-- /modelyard: {name} -->"


def texts(document: str) -> dict[str, str]:
    """Section -> its text as it stands."""
    return {found["name"]: found["text"].strip("\n") for found in _SECTION.finditer(document)}


def merge(old: str | None, new: Mapping[str, str], fresh: str) -> Merged:
    """Bring a document up to date.

    Args:
        old: the document as it stands; None where there is none.
        new: section -> generated text.
        fresh: the whole document with every section generated, for where there is none yet.
    """
    if old is None or not _SECTION.search(old):
        # A file of the same name that is wholly a person's is continued, not replaced.
        text = fresh if not (old or "").strip() else f"{(old or '').rstrip()}\n\n{fresh}"
        return Merged(text, ())
    kept: list[str] = []
    seen: set[str] = set()

    def renew(found: re.Match[str]) -> str:
        name, text = found["name"], found["text"]
        seen.add(name)
        if text.strip() and _digest(text) != found["digest"]:
            kept.append(name)
            return found[0]
        return section(name, new[name]) if name in new else found[0]

    text = _SECTION.sub(renew, old)
    for name, body in new.items():
        if name not in seen:
            text = f"{text.rstrip()}\n\n{section(name, body)}\n"
    return Merged(text, tuple(kept))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
