"""YAML as people write it: a key that is there twice is refused, where YAML takes the last one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader. Keys are compared before `<<` brings others in."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key)  # 1 and 0x1 are one key
            if name in lines:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key.value!r} is there twice, first in line {lines[name]}",
                    key.start_mark,
                )
            lines[name] = key.start_mark.line + 1
        return node


def load(text: str | bytes) -> Any:
    """The one document of a text.

    Raises:
        yaml.YAMLError: it is no YAML, or a key is there twice in one mapping.
    """
    return yaml.load(text, _Loader)  # noqa: S506 (it is a safe loader)


def load_all(text: str | bytes) -> Iterator[Any]:
    """The documents of a text; raises as `load` does, as far as it is read."""
    yield from yaml.load_all(text, _Loader)
