"""Check that requirements.lock holds every dependency that the two distributions declare."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from declared import declared

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Return 1 and say what is missing where the lock is out of date."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lock = (ROOT / "requirements.lock").read_text()
    locked: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", lock, re.MULTILINE):
        locked.setdefault(canonicalize_name(name), set()).add(version)
    wanted = declared()
    wrong = []
    for text in wanted:
        need = Requirement(text)
        name = canonicalize_name(need.name)
        versions = locked.get(name, set())
        if not versions or not all(need.specifier.contains(v) for v in versions):
            wrong.append(f"{text} (locked: {', '.join(sorted(versions)) or 'nothing'})")
    if "--hash=sha256:" not in lock:
        wrong.append("the lock holds no hashes")
    for line in wrong:
        print(f"requirements.lock: {line}; run `make lock`", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
