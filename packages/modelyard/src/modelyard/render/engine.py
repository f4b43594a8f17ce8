"""Jinja, set up once: an unknown name is an error, and text comes out as it stands."""

from __future__ import annotations

import json
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(template: str, **values: Any) -> str:
    """Fill one template of render/templates. Raises jinja2.UndefinedError for a name not given."""
    return _environment().get_template(template).render(**values)


def fill_pipeline(template: str, **values: Any) -> str:
    """Fill a template whose own text has `{{ }}`: values stand in `<< >>`, logic in `<% %>`."""
    return _environment("<<", ">>", "<%", "%>").get_template(template).render(**values)


def inline(value: Any) -> str:
    """A value as YAML on one line, such as `[a, b]`, `{x: 1}`, `null` or `'no'`."""
    text = str(
        yaml.safe_dump(
            value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
        )
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    if text.isprintable():
        return text
    # PyYAML spreads line breaks over lines and loses the rarer ones (U+0085); JSON is YAML too.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in quoted)


@cache
def _environment(
    opened: str = "{{", closed: str = "}}", begun: str = "{%", ended: str = "%}"
) -> Environment:
    # Every stage's process imports render.pipeline, only `init` fills templates: jinja2 waits here.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("modelyard.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML and Markdown, no HTML
        variable_start_string=opened,
        variable_end_string=closed,
        block_start_string=begun,
        block_end_string=ended,
    )
    made.filters["yaml"] = inline
    made.filters["shell"] = shlex.quote
    return made
