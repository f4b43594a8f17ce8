"""The two distributions that are at work here, as wheels: a fresh machine may have no other source.

Both are pure Python, so that a wheel is the package's files, the installed metadata, and a list of
digests. It works from an ordinary installation and from an editable one.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zipfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DISTRIBUTIONS = {"modelyard": "modelyard", "modelyard-serve": "modelyard_serve"}
STAMP = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("__pycache__", ".pyc")


def write(folder: Path) -> list[Path]:
    """Write a wheel of each distribution to `folder`; one that is not installed is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        path for name, module in DISTRIBUTIONS.items() if (path := _wheel(folder, name, module))
    ]


def pins() -> list[str]:
    """The lines of a lock that name these wheels."""
    found = []
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            found.append(f"{name}=={distribution(name).version}")
    return found


def _wheel(folder: Path, name: str, module: str) -> Path | None:
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return None
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        return None
    root = Path(next(iter(found.submodule_search_locations)))
    stem = f"{name.replace('-', '_')}-{installed.version}"
    info = f"{stem}.dist-info"
    files: dict[str, bytes] = {
        f"{module}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part in str(path.relative_to(root)) for part in _LEFT_OUT)
    }
    for kind in ("METADATA", "entry_points.txt"):
        text = installed.read_text(kind)
        if text:
            files[f"{info}/{kind}"] = text.encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: modelyard\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    listed = "".join(f"{path},sha256={_digest(body)},{len(body)}\n" for path, body in files.items())
    files[f"{info}/RECORD"] = f"{listed}{info}/RECORD,,\n".encode()
    target = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, body in files.items():
            entry = zipfile.ZipInfo(path, STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, body)
    return target


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
