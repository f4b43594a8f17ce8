"""DVC, in process. Light questions (pointers, the local cache) are answered without importing it.

While DVC works, the current directory is the project's root: DVC reads some paths relative to it.
"""

from __future__ import annotations

import configparser
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import ModelyardError, ToolFailed, UsageError, capped

STORE = ".dvc-store"
"""The default remote: a folder in the project, kept out of git, that moves with the project."""

BLOCK = 1 << 20


@dataclass(frozen=True)
class Pointer:
    """What a .dvc file says of its one output. `size` is in bytes."""

    md5: str
    size: int
    path: str


# -- light: no import of DVC ---------------------------------------------------------------------


def read_pointer(content: bytes | None) -> Pointer | None:
    """Read a .dvc file's content; None where it is none, or half of one."""
    try:
        out = yaml.safe_load(content or b"")["outs"][0]
        return Pointer(str(out["md5"]), int(out.get("size", 0)), str(out["path"]))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        return None


def pointer_md5(pointer: Path) -> str | None:
    """The md5 that a .dvc file records, or None where there is no such file."""
    found = read_pointer(pointer.read_bytes()) if pointer.is_file() else None
    return found.md5 if found else None


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, which is DVC's name for it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def lock_hash(root: Path) -> str:
    """sha256 of dvc.lock; empty before the first run."""
    path = root / "dvc.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def is_set_up(root: Path) -> bool:
    """Whether DVC is initialised in this folder."""
    return (root / ".dvc/config").is_file()


def default_remote(root: Path) -> str | None:
    """The name of the remote that push and pull use, or None."""
    return _configured(root, "core", "remote")


def cached_file(root: Path, md5: str) -> Path | None:
    """Where this machine's cache keeps the content, or None where it does not."""
    folder = Path(_configured(root, "cache", "dir") or "cache")
    path = root / ".dvc" / folder / "files/md5" / md5[:2] / md5[2:]
    return path if path.is_file() else None


def cache_has(root: Path, md5: str) -> bool:
    """Whether this machine's cache keeps the content."""
    return cached_file(root, md5) is not None


def restore_file(root: Path, md5: str, destination: Path) -> None:
    """Copy content from the cache over `destination`, whole or not at all, checking every byte.

    Raises:
        ToolFailed: the cache does not keep it, or keeps something else under its name.
    """
    source = cached_file(root, md5)
    if source is None:
        raise ToolFailed(
            f"DVC's cache does not hold {destination.name} ({md5[:12]}).",
            why="It was deleted there, or never fetched to this machine.",
            next_step="dvc pull",
        )
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    destination.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with source.open("rb") as reader, part.open("wb") as writer:
            while block := reader.read(BLOCK):
                digest.update(block)
                writer.write(block)
        if digest.hexdigest() != md5:
            raise ToolFailed(
                f"DVC's cache is damaged: {md5[:12]} holds other bytes.",
                why=f"{source} has md5 {digest.hexdigest()[:12]}.",
                next_step=f"rm -f {source} ; dvc pull",
            )
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


def _configured(root: Path, section: str, key: str) -> str | None:
    """One value of .dvc/config, overridden by .dvc/config.local."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([root / ".dvc/config", root / ".dvc/config.local"], encoding="utf-8")
    except configparser.Error:
        return None
    return parser.get(section, key, fallback=None)


# -- heavy: DVC itself -----------------------------------------------------------------------------


def init(root: Path, *, subdir: bool = False) -> None:
    """Set DVC up in a git repository: no analytics, no check for updates.

    `subdir` is for a project in a folder below the repository's root.
    """
    with _calling(root, "init") as dvc:
        dvc.Repo.init(str(root), subdir=subdir).close()
    with _session(root, "config") as repo, repo.config.edit() as config:
        config["core"] |= {"analytics": False, "check_update": False}


def remote_add_default(root: Path, path: str = STORE, name: str = "local") -> None:
    """Make a folder of the project the default remote; its url is kept relative."""
    (root / path).mkdir(parents=True, exist_ok=True)
    with _session(root, "remote add") as repo, repo.config.edit() as config:
        config["remote"][name] = {"url": path}
        config["core"]["remote"] = name


def forget_state(root: Path) -> None:
    """Remove what DVC remembers of this folder outside it, for a folder that is about to move."""
    with _session(root, "forget") as repo:
        remembered = Path(repo.site_cache_dir)
    shutil.rmtree(remembered, ignore_errors=True)


def add(root: Path, path: Path) -> str:
    """Track a file: into the cache, a pointer beside it. Returns the md5."""
    with _session(root, f"add {path.name}") as repo:
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
    with _session(root, "push") as repo:
        return int(repo.push(targets=list(targets) if targets else None, run_cache=run_cache))


def fetch(root: Path, md5: str) -> bool:
    """Copy content from the default remote into the cache; return whether the cache now holds it.

    By md5 and not by git revision: for a revision, DVC resolves a remote that lies in the project
    against the revision's own tree, where it is not.
    """
    if default_remote(root) is not None:
        with _session(root, "fetch") as repo:
            from dvc_data.hashfile.hash_info import HashInfo

            repo.cloud.pull([HashInfo("md5", md5)])
    return cache_has(root, md5)


def pull(root: Path, targets: Sequence[str] | None = None, *, run_cache: bool = False) -> None:
    """Fetch from the remote and put the content into the working tree.

    Raises:
        ToolFailed: neither cache nor remote holds something that a pointer or dvc.lock names.
    """
    with _session(root, "pull") as repo:
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
            next_step=_LOST,
        )


def checkout(
    root: Path, targets: Sequence[str | Path] | None = None, *, force: bool = False
) -> None:
    """Make the working files what the pointers say, from the cache."""
    with _session(root, "checkout") as repo:
        names = [str(root / target) for target in targets] if targets else None
        repo.checkout(targets=names, force=force)


def status(root: Path) -> dict[str, Any]:
    """What `dvc status` says: stage -> changes; empty where all is up to date."""
    with _session(root, "status") as repo:
        return dict(repo.status())


def reproduce(
    root: Path,
    targets: Sequence[str] | None = None,
    *,
    force: bool = False,
    single: bool = False,
    begun: Callable[[], None] = lambda: None,
    restored: Callable[[str], None] = lambda stage: None,
) -> list[str]:
    """Bring the pipeline up to date, as `dvc repro` does; return the stages that changed, in order.

    The stages write to this process's own stdout and stderr. A stage whose inputs were seen before
    is not run: its outputs come back from the cache, those that git keeps included (`dvc repro` by
    itself remembers only stages whose outputs are all cached). `restored` is called with its name;
    `begun` is called once there is something to do.

    Raises:
        ToolFailed: a stage failed, a file is missing, or another DVC is at work here.
    """
    listener = _Restored(restored)
    with _session(root, "repro") as repo, _own_programs_first():
        # Asking first costs a third of what walking the unchanged pipeline costs.
        found = repo.status()
        _refuse_edited(found)
        if not (targets or force or single) and not found:
            return []
        begun()
        _log("dvc.stage.cache", listener)
        try:
            stages = repo.reproduce(
                targets=list(targets) if targets else None,
                force=force,
                single_item=single,
                repro_fn=_reproduce_one,
            )
        finally:
            logging.getLogger("dvc.stage.cache").removeHandler(listener)
        # The raw table's pointer is a step to DVC; to a person it is no stage.
        return [stage.name for stage in stages if getattr(stage, "name", None)]


def _refuse_edited(found: Mapping[str, Any]) -> None:
    """A tracked table that was edited in place would be taken up as if it were a version."""
    for stage, changes in found.items():
        outs = [c.get("changed outs", {}) for c in changes if isinstance(c, dict)]
        edited = [path for out in outs for path, state in out.items() if state == "modified"]
        if stage.endswith(".dvc") and edited:
            raise UsageError(
                f"{edited[0]} was edited, and is no data version.",
                why="A run is recorded with the version of its data.",
                next_step=f"modelyard data add {edited[0]} -m 'What changed', "
                "or: modelyard data checkout VERSION --force",
            )


def _reproduce_one(stage: Any, **kwargs: Any) -> Any:
    """DVC's own step, and then remember the result though git keeps some of the outputs.

    DVC saves no run-cache entry for a stage with such an output, but restores one that exists.
    """
    with _outputs_aside(stage):
        done = stage.reproduce(**kwargs)
    if done is not None:
        done.dump(update_pipeline=False)
        if getattr(done, "name", None):
            done.repo.stage_cache.save(done)
    return done


@contextmanager
def _outputs_aside(stage: Any) -> Iterator[None]:
    """Move a stage's outputs aside where DVC would delete them before the stage runs.

    What a failed stage has not replaced comes back: a disk that is full must not cost the package
    that was there. Moving takes no room; what a kill leaves aside is dropped by the next run.
    """
    aside = Path(stage.repo.tmp_dir) / "modelyard-aside"
    shutil.rmtree(aside, ignore_errors=True)
    moved: list[tuple[Path, Path]] = []

    def move_away(ignore_remove: bool = False, force: bool = False) -> None:
        aside.mkdir(parents=True, exist_ok=True)
        for number, out in enumerate(stage.outs):
            path, kept = Path(out.fs_path), aside / str(number)
            if os.path.lexists(path):
                shutil.move(path, kept)
                moved.append((path, kept))

    stage.remove_outs = move_away
    try:
        yield
    except BaseException:
        for path, kept in moved:
            if not os.path.lexists(path):
                shutil.move(kept, path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def get_from_rev(root: Path, path: str, rev: str, destination: Path) -> None:
    """Copy a tracked file or folder, as it was at a git revision, to `destination`.

    Raises:
        ToolFailed: the revision does not track it, or neither cache nor remote holds it.
    """
    with _calling(root, f"get {path} at {rev}") as dvc:
        dvc.Repo.get(str(root), path, out=str(destination.absolute()), rev=rev, force=True)


class _Restored(logging.Handler):
    """Hears DVC say that a stage came back from the cache."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if "is cached" in str(record.msg) and record.args:
            self.tell(str(record.args[0] if isinstance(record.args, tuple) else record.args))


def _log(name: str, handler: logging.Handler) -> None:
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False


@contextmanager
def _own_programs_first() -> Iterator[None]:
    """Let a stage's shell find `modelyard` although the environment is not activated."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), before)))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


@contextmanager
def _session(root: Path, verb: str) -> Iterator[Any]:
    """An open DVC repository. Raises ToolFailed in DVC's words and with the next command."""
    with _calling(root, verb) as dvc, dvc.Repo(str(root)) as repo:
        yield repo


@contextmanager
def _calling(root: Path, verb: str) -> Iterator[Any]:
    """DVC's module, quiet, with its errors translated."""
    os.environ["DVC_NO_ANALYTICS"] = "1"
    import dvc.repo

    for name in ("dvc", "dvc_data", "dvc_objects"):  # also switches the progress bars off
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with chdir(root):
            yield dvc.repo
    except (ModelyardError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise _translated(verb, error) from error


def _translated(verb: str, error: Exception) -> ToolFailed:
    """Say what DVC said, why, and what to type next."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and isinstance(cause, Exception):
        chain.append(cause)
    kinds = {type(entry).__name__ for entry in chain}
    words = [" ".join(str(entry).split()) for entry in chain]
    what = f"dvc {verb} failed."
    if "StageCmdFailedError" in kinds:
        said = words[-1].removeprefix("failed to run: ")
        command = said.partition(", exited with")[0]
        return ToolFailed(
            f"`{command}` failed.", why=said, next_step=f"{command}, to see it by itself"
        )
    for names, step in _ADVICE:
        if kinds & names or names & {"*"}:
            return ToolFailed(what, why=capped(dict.fromkeys(words), 3), next_step=step)
    raise AssertionError("the last line of _ADVICE fits everything")


_LOST = (
    "dvc pull; where the remote does not hold it either: modelyard data checkout VERSION, "
    "or put the file back and `modelyard data add` it"
)

_ADVICE: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"MissingParamsError"}),
        "add the missing section to modelyard.yaml, such as `gate: {}`: DVC watches each",
    ),
    (
        frozenset({"LockError"}),
        "wait for the other DVC or modelyard command to end; if its process is gone: "
        "rm -f .dvc/tmp/rwlock .dvc/tmp/lock",
    ),
    (
        frozenset({"RWLockFileCorruptedError", "RWLockFileFormatError"}),
        "rm -f .dvc/tmp/rwlock, then run this again",
    ),
    (
        frozenset(
            {"CheckoutError", "DownloadError", "FileMissingError", "CollectCacheError"}
            | {"MissingDataSource", "FileNotFoundError", "PathMissingError"}
        ),
        _LOST,
    ),
    (frozenset({"NotDvcRepoError"}), "dvc init, or: modelyard init --adopt"),
    (frozenset({"OutputIsNotFileOrDirError", "OutputDoesNotExistError"}), "dvc status"),
    (
        frozenset({"YAMLSyntaxError", "YAMLFileCorruptedError", "YAMLValidationError"}),
        "mend the file, or: git checkout HEAD -- dvc.yaml dvc.lock",
    ),
    (frozenset({"UploadError", "RemoteConfigError", "ConfigError"}), "dvc remote list"),
    (frozenset({"*"}), "dvc doctor ; modelyard doctor"),
)
