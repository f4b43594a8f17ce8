"""The repository: DVC set up in it, its remote, what it tracks, what it brings back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import ToolFailed, capped
from modelyard.tools.dvc.local import cache_has, default_remote, pointer_md5
from modelyard.tools.dvc.session import LOST, calling, session

STORE = ".dvc-store"
"""The default remote: a folder in the project, kept out of git, that moves with the project."""


def init(root: Path, *, subdir: bool = False) -> None:
    """Set DVC up in a git repository: no analytics, no check for updates.

    `subdir` is for a project in a folder below the repository's root.
    """
    with calling(root, "init") as dvc:
        dvc.Repo.init(str(root), subdir=subdir).close()
    with session(root, "config") as repo, repo.config.edit() as config:
        config["core"] |= {"analytics": False, "check_update": False}


def remote_add_default(root: Path, path: str = STORE, name: str = "local") -> None:
    """Make a folder of the project the default remote; its url is kept relative."""
    (root / path).mkdir(parents=True, exist_ok=True)
    with session(root, "remote add") as repo, repo.config.edit() as config:
        config["remote"][name] = {"url": path}
        config["core"]["remote"] = name


def forget_state(root: Path) -> None:
    """Remove what DVC remembers of this folder outside it, for a folder that is about to move."""
    with session(root, "forget") as repo:
        remembered = Path(repo.site_cache_dir)
    shutil.rmtree(remembered, ignore_errors=True)


def add(root: Path, path: Path) -> str:
    """Track a file: into the cache, a pointer beside it. Returns the md5."""
    with session(root, f"add {path.name}") as repo:
        repo.add(str(path.absolute()))
    md5 = pointer_md5(path.with_name(path.name + ".dvc"))
    assert md5 is not None
    return md5


def push(root: Path, targets: Sequence[str] | None = None, *, run_cache: bool = False) -> int:
    """Copy content to the default remote; return how many files went. Nothing without a remote.

    `run_cache` sends the stages' remembered results too, so that another clone need not run them.
    """
    if default_remote(root) is None:
        return 0
    with session(root, "push") as repo:
        return int(repo.push(targets=list(targets) if targets else None, run_cache=run_cache))


def share(root: Path) -> int:
    """Push all that is tracked, the pipeline's outputs in particular; return how many files went.

    DVC passes over what the cache has lost; an output that still lies in the working tree, where
    the pipeline is up to date, is taken into the cache again first.

    Raises:
        ToolFailed: the remote is out of reach, or refused something.
    """
    if default_remote(root) is None:
        return 0
    with session(root, "push") as repo:
        for stage in repo.index.stages:
            for out in stage.outs if getattr(stage, "name", None) else ():
                if out.use_cache and out.hash_info and out.changed_cache() and out.exists:
                    out.commit(relink=False)
        return int(repo.push())


def fetch(root: Path, *md5s: str) -> bool:
    """Copy contents from the default remote into the cache; return whether it now holds them all.

    By md5 and not by git revision: for a revision, DVC resolves a remote that lies in the project
    against the revision's own tree, where it is not.
    """
    if default_remote(root) is not None:
        with session(root, "fetch") as repo:
            from dvc_data.hashfile.hash_info import HashInfo

            repo.cloud.pull([HashInfo("md5", md5) for md5 in md5s])
    return all(cache_has(root, md5) for md5 in md5s)


def pull(root: Path, targets: Sequence[str] | None = None, *, run_cache: bool = False) -> None:
    """Fetch from the remote and put the content into the working tree.

    Raises:
        ToolFailed: neither cache nor remote holds something that a pointer or dvc.lock names.
    """
    with session(root, "pull") as repo:
        # Without allow_missing, DVC refuses a project whose stages have not been run yet.
        repo.pull(
            targets=list(targets) if targets else None, run_cache=run_cache, allow_missing=True
        )
        lost = [str(out) for out in repo.index.outs if out.hash_info and not out.exists]
    wanted = [name for name in lost if targets is None or name in targets]
    if wanted:
        raise ToolFailed(
            f"DVC could not bring back {capped(wanted)}.",
            why="Neither this machine's cache nor the remote holds it.",
            next_step=LOST,
        )


def checkout(
    root: Path,
    targets: Sequence[str | Path] | None = None,
    *,
    force: bool = False,
    some: bool = False,
) -> None:
    """Make the working files what the pointers say, from the cache.

    Args:
        some: pass over what the cache does not have, such as the outputs of stages that never ran.
    """
    with session(root, "checkout") as repo:
        names = [str(root / target) for target in targets] if targets else None
        repo.checkout(targets=names, force=force, allow_missing=some)
