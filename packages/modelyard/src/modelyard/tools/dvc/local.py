"""What DVC keeps on this machine: pointers, dvc.lock, the cache. DVC is not imported for it."""

from __future__ import annotations

import configparser
import hashlib
import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelyard.errors import ToolFailed

BLOCK = 1 << 20

PLUGINS = {
    "azure": "azure",
    "gdrive": "gdrive",
    "gs": "gs",
    "hdfs": "hdfs",
    "oss": "oss",
    "s3": "s3",
    "ssh": "ssh",
    "webdav": "webdav",
    "webdavs": "webdav",
    "webhdfs": "webhdfs",
}
"""Scheme of a remote's URL -> the X of dvc-X, which DVC needs for it and does not bring."""

EXTRAS = ("azure", "gs", "s3")
"""Those that modelyard has an extra for."""

DIR = ".dir"
"""How the md5 of a folder ends; its content is the list of the folder's files."""


@dataclass(frozen=True)
class Pointer:
    """What a .dvc file says of its one output. `size` is in bytes."""

    md5: str
    size: int
    path: str


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


def output_md5(lock: bytes | None, path: str) -> str | None:
    """The md5 that a dvc.lock's content records for a stage's output, None where it has none."""
    try:
        stages = yaml.safe_load(lock or b"")["stages"].values()
        found = (out for stage in stages for out in stage.get("outs", ()))
        return next((str(out["md5"]) for out in found if out["path"] == path), None)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None


def outputs(lock: bytes | None) -> dict[str, str]:
    """Path -> md5 of every output that a dvc.lock's content records."""
    try:
        stages = yaml.safe_load(lock or b"")["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", ())]
        return {str(out["path"]): str(out["md5"]) for out in outs if "md5" in out}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}


def members(root: Path, md5: str) -> list[str]:
    """The md5s of a tracked folder's files; none for a file, or where the list is lost."""
    listed = cached_file(root, md5) if md5.endswith(DIR) else None
    if listed is None:
        return []
    try:
        return [str(entry["md5"]) for entry in json.loads(listed.read_bytes())]
    except (ValueError, KeyError, TypeError):
        return []


def cache_path(root: Path, md5: str) -> Path:
    """Where this machine's cache keeps, or would keep, the content."""
    return cache_folder(root) / "files/md5" / md5[:2] / md5[2:]


def cache_folder(root: Path) -> Path:
    """Where this machine's cache lies."""
    return root / ".dvc" / (configured(root, "cache", "dir") or "cache")


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
    return configured(root, "core", "remote")


def remote_url(root: Path) -> str:
    """Where the default remote lies: a URL, or a folder; empty where there is none."""
    name = default_remote(root)
    return (configured(root, f"'remote \"{name}\"'", "url") or "") if name else ""


def remote_plugin(root: Path) -> str | None:
    """The distribution that the default remote needs beside DVC, such as dvc-s3; None: none."""
    scheme, found, _ = remote_url(root).partition("://")
    plugin = PLUGINS.get(scheme.lower()) if found else None
    return f"dvc-{plugin}" if plugin else None


def missing_plugin(root: Path) -> str | None:
    """What the default remote needs and is not installed here, or None."""
    plugin = remote_plugin(root)
    if plugin is None or importlib.util.find_spec(plugin.replace("-", "_")) is not None:
        return None
    return plugin


def install_plugin(plugin: str) -> str:
    """The command that installs a remote's plugin: ours where modelyard has an extra for it."""
    extra = plugin.removeprefix("dvc-")
    return f"pip install 'modelyard[{extra}]'" if extra in EXTRAS else f"pip install {plugin}"


def cached_file(root: Path, md5: str) -> Path | None:
    """Where this machine's cache keeps the content, or None where it does not."""
    path = cache_path(root, md5)
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


def configured(root: Path, section: str, key: str) -> str | None:
    """One value of .dvc/config, overridden by .dvc/config.local."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([root / ".dvc/config", root / ".dvc/config.local"], encoding="utf-8")
    except configparser.Error:
        return None
    value = parser.get(section, key, fallback=None)
    # DVC quotes what has a comma or a # in it.
    quoted = re.fullmatch(r"('''|\"|')(.*)\1", value) if value else None
    return quoted[2] if quoted else value
