"""The conditions in pipeline files: `$CI_COMMIT_BRANCH == "main"`, `github.event_name == 'push'`.

A small part of both languages, which is all that the generated files use. What is beyond it is
refused by name: a guess could run a deployment.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from modelyard.errors import UsageError

Lookup = Callable[[str], str | bool | None]
"""The value of a name (`$VAR` without its `$`, or `github.ref`), None where there is none."""

_TOKEN = re.compile(
    r"\s*(?:(?P<op>\|\||&&|==|!=|=~|!~|!|\(|\))|(?P<text>\"[^\"]*\"|'[^']*')|(?P<regex>/(?:\\.|[^/])+/)"
    r"|(?P<name>\$?\{?[A-Za-z_][\w.-]*\}?))"
)
FUNCTIONS = {"always": True, "success": True, "failure": False, "cancelled": False}
"""GitHub's status functions, as they are while nothing has failed."""


def holds(text: str, lookup: Lookup) -> bool:
    """Whether a condition holds.

    Raises:
        UsageError: it uses something that is not known here.
    """
    return bool(_value(text, lookup))


def _value(text: str, lookup: Lookup) -> object:
    reader = _Reader(text, lookup)
    value = reader.either()
    reader.end()
    return value


def filled(text: str, lookup: Lookup) -> str:
    """A text with its `${{ … }}` replaced; an unknown name counts as empty, as on the service."""

    def one(found: re.Match[str]) -> str:
        inner = found[1].strip()
        plain = re.fullmatch(r"[A-Za-z_][\w.-]*", inner)
        value = lookup(inner) if plain else _value(inner, lookup)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return re.sub(r"\$\{\{(.*?)\}\}", one, text)


class _Reader:
    """Walks along the tokens, weakest binding first."""

    def __init__(self, text: str, lookup: Lookup) -> None:
        self.text, self.lookup = text, lookup
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.refusal(text[at:].strip())
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind]))
            at = found.end()

    def refusal(self, at: str) -> UsageError:
        return UsageError(
            f"The condition `{self.text}` cannot be read here.",
            why=f"`{at}` is beyond what this command understands of the service's language.",
            next_step="use ==, !=, =~, &&, || and names in it, or run the job on the service",
        )

    def peek(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def take(self) -> tuple[str, str]:
        if not self.tokens:
            raise self.refusal("its end")
        return self.tokens.pop(0)

    def end(self) -> None:
        if self.tokens:
            raise self.refusal(self.peek())

    def either(self) -> object:
        value = self.both()
        while self.peek() == "||":
            self.take()
            other = self.both()
            value = value or other
        return value

    def both(self) -> object:
        value = self.compared()
        while self.peek() == "&&":
            self.take()
            other = self.compared()
            value = value and other
        return value

    def compared(self) -> object:
        if self.peek() == "!":
            self.take()
            return not self.compared()
        value = self.single()
        while (op := self.peek()) in ("==", "!=", "=~", "!~"):
            self.take()
            if op in ("=~", "!~"):
                kind, pattern = self.take()
                if kind != "regex":
                    raise self.refusal(pattern)
                found = re.search(pattern[1:-1], str(value or "")) is not None
                value = found == (op == "=~")
            else:
                value = ((value or "") == (self.single() or "")) == (op == "==")
        return value

    def single(self) -> object:
        kind, text = self.take()
        if text == "(":
            value = self.either()
            if self.take()[1] != ")":
                raise self.refusal(text)
            return value
        if kind == "text":
            return text[1:-1]
        if kind == "name":
            if self.peek() == "(":
                if text not in FUNCTIONS or [self.take()[1], self.take()[1]] != ["(", ")"]:
                    raise self.refusal(f"{text}(")
                return FUNCTIONS[text]
            if text in ("null", "true", "false"):
                return text == "true"
            return self.lookup(text.lstrip("$").strip("{}"))
        raise self.refusal(text)
