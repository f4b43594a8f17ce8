"""requirements.lock of a project: what is installed here, pinned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from platform import python_version

REMOTES = ("dvc-azure", "dvc-gs", "dvc-s3", "dvc-ssh")
"""What DVC needs for a remote elsewhere: pinned where it is installed, since pipelines need it."""


def requirements_lock(root: str = "modelyard") -> str:
    """`name==version` of the installed distribution and of all that it needs, sorted by name.

    Only what is needed on this machine: markers are evaluated here. No addresses, no paths.
    """
    found = _closure(root)
    if found:
        for remote in REMOTES:
            found |= _closure(remote)
    pins = "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
    return f"# The environment of this project, made on Python {python_version()}.\n{pins}"


def pins_of(root: str, *, python: str = "", platform: str = "") -> dict[str, str]:
    """name -> version of an installed distribution and all that it needs.

    Args:
        python: such as 3.11, where markers are those of another Python;
        platform: such as linux/amd64, where they are those of another machine.
    """
    target: dict[str, str] = {}
    if python:
        target |= {"python_version": python, "python_full_version": f"{python}.0"}
    if platform:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[platform.rpartition("/")[2]]
        target |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
        target |= {"platform_machine": machine}
    return _closure(root, target)


def _closure(root: str, target: Mapping[str, str] | None = None) -> dict[str, str]:
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    left = [(root, "")]
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # a dependency of another platform, or one that was left out on purpose
        found[name] = installed.version
        for text in installed.requires or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({**(target or {}), "extra": extra}):
                left += [(_plain(need.name), wanted) for wanted in ("", *need.extras)]
    return found


def _plain(name: str) -> str:
    """The normalised name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
