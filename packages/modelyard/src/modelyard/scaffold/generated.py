"""The files that `init` writes and `sync` keeps up to date, and what was rendered of them last."""

from __future__ import annotations

from modelyard.render import ci, files
from modelyard.render.pipeline import dvc_yaml
from modelyard.scaffold.report import Stages
from modelyard.settings import Settings

RENDERED = ".rendered"
"""The folder of the last rendering of each such file, without anybody's edits. git keeps it: a
person's edits are what their file has beyond it, in every clone."""

SUFFIX = ".base"

RULES = (".gitignore", ".dvcignore", ".gitattributes")
"""Files that other tools and people add lines to."""


def texts(settings: Settings, stages: Stages) -> dict[str, str]:
    """Path -> content of every file that is kept up to date."""
    return {
        "dvc.yaml": dvc_yaml(stages(settings.data.path)),
        ".gitignore": files.gitignore(),
        ".dvcignore": files.dvcignore(),
        ".gitattributes": files.gitattributes(stages(settings.data.path)),
        **ci.texts(settings),
    }


def rendered(path: str) -> str:
    """Where the last rendering of a file lies. By its own name, git or DVC would obey it there."""
    return f"{RENDERED}/{path}{SUFFIX}"


def with_renderings(texts: dict[str, str]) -> dict[str, str]:
    """The files, and a copy of each under RENDERED."""
    return texts | {rendered(path): text for path, text in texts.items()}


def is_executable(path: str) -> bool:
    """Whether the file is a program."""
    return path.endswith(".sh")
