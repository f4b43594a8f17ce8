"""Write the pages that are made from the code: the reference, the verbs, the schemas.

`python docs/generate.py` writes them; with --check it exits 1 where a page is out of date.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

import click
import msgspec

from modelyard import project
from modelyard.cli import COMMANDS, root
from modelyard.render.reference import markdown_page
from modelyard_serve.contract import Manifest

HERE = Path(__file__).resolve().parent
NOTES = HERE / "verbs" / "notes"
"""What a person should know of a verb beyond its options: one hand-written page each."""


def pages() -> dict[Path, str]:
    """Every generated file with its content."""
    made = {
        HERE / "reference" / "modelyard-yaml.md": markdown_page(),
        HERE / "reference" / "modelyard.schema.json": _json(project.json_schema()),
        HERE.parent / "contract" / "manifest.schema.json": _json(
            msgspec.json.schema(Manifest, ref_template="#/$defs/{name}")
        ),
        HERE / "verbs" / "index.md": _index(),
    }
    for name in COMMANDS:
        command = import_module(f"modelyard.cli.{name}").command
        made[HERE / "verbs" / f"{name}.md"] = _verb(name, command)
    return made


def _index() -> str:
    lines = ["# The verbs", "", "Generated from the code by `make docs`.", ""]
    lines += ["| verb | what it does |", "|---|---|"]
    lines += [f"| [`{name}`]({name}.md) | {text} |" for name, text in COMMANDS.items()]
    lines += [
        "",
        "Exit codes: 0 ok, 1 error, 2 usage, 3 the gate refused, 4 the data is invalid, "
        "130 interrupted, 143 terminated by SIGTERM (`run`, `stage` and `ci run` take it as "
        "Ctrl-C).",
        "Errors go to stderr: what happened, why, and the next command. `modelyard -v …` shows "
        "tracebacks. `NO_COLOR` is honoured; without a terminal, progress is plain lines.",
    ]
    return "\n".join(lines) + "\n"


def _verb(name: str, command: click.Command) -> str:
    context = click.Context(root, info_name="modelyard")
    lines = [f"# modelyard {name}", "", COMMANDS[name], ""]
    lines += ["```", _help(command, context, name), "```", ""]
    if isinstance(command, click.Group):
        inner = click.Context(command, info_name=name, parent=context)
        for sub in command.list_commands(inner):
            child = command.get_command(inner, sub)
            assert child is not None
            lines += [f"## {name} {sub}", "", "```", _help(child, inner, sub), "```", ""]
    note = NOTES / f"{name}.md"
    if note.is_file():
        lines.append(note.read_text(encoding="utf-8").rstrip() + "\n")
    return "\n".join(lines).rstrip() + "\n"


def _help(command: click.Command, parent: click.Context, name: str) -> str:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=96)
    context.terminal_width = 96
    return command.get_help(context)


def _plain(body: object) -> object:
    """Docstrings without their indentation, which Python 3.13 takes away by itself."""
    if isinstance(body, dict):
        return {key: _plain(value) for key, value in body.items()}
    if isinstance(body, list):
        return [_plain(value) for value in body]
    return cleandoc(body) if isinstance(body, str) and "\n" in body else body


def _json(body: object) -> str:
    return json.dumps(_plain(body), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or check; returns the exit code."""
    wrong = []
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        wrong.append(path)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and wrong:
        for path in wrong:
            print(f"out of date: {path.relative_to(HERE.parent)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
