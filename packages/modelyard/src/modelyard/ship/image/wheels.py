"""The wheels of an image: modelyard-serve's own, and the locked ones of its dependencies."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
import zipfile
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from modelyard.errors import ModelyardError, ToolFailed
from modelyard.project import Project
from modelyard.records import Wheel, write_bytes
from modelyard.render.image import lock_file, target_line
from modelyard.render.locks import pins_of
from modelyard.tools import pip

SERVE = "modelyard-serve"
MODULE = "modelyard_serve"
_LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\\n\s+--hash=sha256:([0-9a-f]{64})$", re.MULTILINE)


def lock_path(project: Project) -> Path:
    """The lock of the image's packages."""
    return project.root / "image" / "requirements.lock"


def cache_folder() -> Path:
    """Where this machine keeps wheels, by their sha256."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "modelyard" / "wheels"


def lock(project: Project) -> list[Wheel]:
    """Lock the dependencies of modelyard-serve at this environment's versions, for the target.

    A version that another Python of the target cannot have is replaced by the newest before it that
    it can; `modelyard image build` names what differs.

    The hashes are those of the files that the index gives now; from then on no others are taken.

    Raises:
        ToolFailed: a version has no wheel for the target.
    """
    image = project.settings.image
    wanted = pins_of(SERVE, python=image.python, platform=image.platform)
    wanted.pop(SERVE)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "wanted.txt")
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        fits = "==" if image.python == here else "<="
        listed.write_text("".join(f"{name}{fits}{v}\n" for name, v in sorted(wanted.items())))
        place = Path(folder, "wheels")
        pip.download(listed, place, python=image.python, platform=image.platform)
        found = [_keep(path) for path in sorted(place.glob("*.whl"))]
    pins = {wheel.name: (wheel.version, wheel.sha256) for wheel in found}
    if missing := sorted(set(wanted) - set(pins)):
        raise ToolFailed(
            f"pip gave no wheel of {', '.join(missing)}.",
            why=f"It looked for Python {image.python} on {image.platform}.",
            next_step="set image.python and image.platform to what the packages are built for",
        )
    text = lock_file(pins, python=image.python, platform=image.platform)
    write_bytes(lock_path(project), text.encode())
    return found


def locked(project: Project) -> dict[str, tuple[str, str]]:
    """name -> (version, sha256), of image/requirements.lock.

    Raises:
        ModelyardError: it is for another target than modelyard.yaml names, or cannot be read.
    """
    image = project.settings.image
    text = lock_path(project).read_text(encoding="utf-8")
    pins = {name: (version, digest) for name, version, digest in _LINE.findall(text)}
    fault = ""
    if target_line(image.python, image.platform) not in text.splitlines():
        fault = f"It is not for Python {image.python} on {image.platform}."
    elif not pins or len(pins) != text.count("=="):
        fault = "Each line must be name==version with one --hash=sha256:…."
    if fault:
        raise ModelyardError(
            "image/requirements.lock does not fit.", why=fault, next_step="modelyard image lock"
        )
    return pins


def differing(pins: dict[str, tuple[str, str]]) -> list[str]:
    """Packages whose locked version is not the one that this environment scored with."""
    here = pins_of(SERVE)
    return [
        f"{name} {version} (here {here[name]})"
        for name, (version, _) in sorted(pins.items())
        if here.get(name, version) != version
    ]


def dependencies(project: Project, folder: Path) -> list[Wheel]:
    """Put the locked wheels into a folder, from the cache or the index, and check each hash.

    Raises:
        ToolFailed: a wheel is not to be had, or is not the locked one.
    """
    pins = locked(project)
    found = {name: _cached(digest) for name, (_, digest) in pins.items()}
    if any(path is None for path in found.values()):
        image = project.settings.image
        with tempfile.TemporaryDirectory() as place:
            pip.download(
                lock_path(project), Path(place), python=image.python, platform=image.platform
            )
            for fetched in Path(place).glob("*.whl"):
                _keep(fetched)
        found = {name: _cached(digest) for name, (_, digest) in pins.items()}
    made = []
    for name, path in sorted(found.items()):
        if path is None:
            raise ToolFailed(
                f"pip gave no wheel of {name} with the locked hash.",
                why="What the index has now is not what image/requirements.lock names.",
                next_step="modelyard image lock",
            )
        shutil.copyfile(path, folder / path.name)
        made.append(_describe(folder / path.name))
    return made


def serve_wheel(folder: Path) -> Wheel:
    """Write the wheel of the modelyard-serve that is installed here, editable or not.

    It is made of the package's own files and the installation's metadata, so it needs neither its
    source tree nor an index, and equal files give equal bytes.
    """
    installed = distribution(SERVE)
    spec = find_spec(MODULE)
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    info = f"{MODULE}-{installed.version}.dist-info"
    files = {
        f"{MODULE}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    files[f"{info}/METADATA"] = (installed.read_text("METADATA") or "").encode()
    files[f"{info}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: modelyard\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = "".join(
        f"{name},sha256={_record_digest(content)},{len(content)}\n"
        for name, content in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # its time is 1980-01-01
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    path = folder / f"{MODULE}-{installed.version}-py3-none-any.whl"
    path.write_bytes(packed.getvalue())
    return _describe(path)


def _record_digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _describe(path: Path) -> Wheel:
    from packaging.utils import parse_wheel_filename

    name, version, _, _ = parse_wheel_filename(path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Wheel(
        name=str(name),
        version=str(version),
        file=path.name,
        sha256=digest,
        bytes=path.stat().st_size,
    )


def _keep(path: Path) -> Wheel:
    """Copy a wheel into the cache, under its sha256."""
    wheel = _describe(path)
    place = cache_folder() / wheel.sha256
    place.mkdir(parents=True, exist_ok=True)
    part = place / f".{wheel.file}.{os.getpid()}.part"
    shutil.copyfile(path, part)
    part.replace(place / wheel.file)
    return wheel


def _cached(digest: str) -> Path | None:
    """The wheel of this sha256, where the cache has it whole."""
    for path in (cache_folder() / digest).glob("*.whl"):
        if not path.name.startswith(".") and _describe(path).sha256 == digest:
            return path
    return None
