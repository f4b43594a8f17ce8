"""A tracked folder of any revision, brought back whole: from the cache, else from the remote.

By md5 and not by git revision: for a revision, DVC clones the repository, reads there which remote
it had then, and takes over what the cache holds without a look at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from modelyard.errors import ToolFailed, capped
from modelyard.tools.dvc.local import DIR, cached_file, default_remote, file_md5, restore_file
from modelyard.tools.dvc.repository import fetch


def bring_folder(root: Path, md5: str, destination: Path) -> None:
    """Write a tracked folder to `destination`, every byte checked.

    What the cache lacks is fetched; what it holds damaged is dropped there and fetched again.

    Raises:
        ToolFailed: cache and remote together do not hold all of it, or the remote is out of reach.
    """
    _have(root, {"the list of its files": md5})
    listing = cached_file(root, md5)
    assert listing is not None, "_have has seen it"
    files = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
    _have(root, files)
    destination.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        restore_file(root, content, destination / name)


def _have(root: Path, wanted: Mapping[str, str]) -> None:
    """See that the cache holds these contents (name -> md5) unharmed."""
    lacking = {name: md5 for name, md5 in wanted.items() if not _is_sound(root, md5)}
    if not lacking:
        return
    fetch(root, *dict.fromkeys(lacking.values()))
    lost = [name for name, md5 in lacking.items() if not _is_sound(root, md5)]
    if lost:
        remote = default_remote(root)
        raise ToolFailed(
            f"DVC's cache does not hold {capped(lost)}, "
            + (f"nor does the remote {remote!r}." if remote else "and there is no remote."),
            why="It was never pushed, the remote is out of reach, or what is there is damaged.",
            next_step="dvc fetch --all-tags, to see which; where it was never pushed: "
            "dvc push --all-tags on a machine that has it",
        )


def _is_sound(root: Path, md5: str) -> bool:
    """Whether the cache holds the content. What is damaged is dropped, as DVC itself does."""
    path = cached_file(root, md5)
    if path is None:
        return False
    if file_md5(path) == md5.removesuffix(DIR):
        return True
    path.unlink()
    return False
