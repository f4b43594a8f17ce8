"""What an image must be: each condition with its figure, its limit and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.errors import capped
from modelyard.records import Check
from modelyard.settings import ImageSection
from modelyard.ship.image.rows import Expected
from modelyard.ship.image.scan import Found
from modelyard.tools.engine import Image

MB = 1e6


@dataclass(frozen=True)
class Seen:
    """Everything that was found out about an image."""

    minimal: bool
    image: Image
    found: dict[str, Any]
    inside: Found
    health: dict[str, Any]
    memory: int
    difference: float
    expected: Expected
    package_digest: str
    packages: set[str]
    exit_code: int


def judge(section: ImageSection, seen: Seen) -> tuple[Check, ...]:
    """Every condition, in the order in which a person asks."""
    return (*_answers(seen), *_hardness(seen), *_contents(seen), *_budgets(section, seen))


def _answers(seen: Seen) -> tuple[Check, ...]:
    expected = seen.expected
    held_out = len(expected.rows) - expected.golden
    exact = seen.difference == 0
    rows = f"{expected.golden} golden samples and {held_out:,} held-out rows"
    said = "equal the project's exactly" if exact else f"differ by up to {seen.difference:.3g}"
    digest = str(seen.found["model"].get("digest", ""))
    serves = digest == seen.package_digest
    return (
        Check(
            name="package",
            passed=serves,
            figure=None,
            limit=None,
            message=f"it serves {digest[:12]}…"
            + (", as the gate judged it" if serves else f", not {seen.package_digest[:12]}…"),
        ),
        Check(
            name="predictions",
            passed=exact and (held_out > 0 or bool(expected.note)),
            figure=seen.difference,
            limit=0.0,
            message=f"inside the container, scores of {rows} {said}"
            + (f"; {expected.note}" if expected.note else ""),
        ),
    )


def _hardness(seen: Seen) -> tuple[Check, ...]:
    image, found = seen.image, seen.found
    number = image.user.partition(":")[0]
    rootless = number.isdigit() and int(number) > 0
    shells = found["shells"]
    checks = [
        _plain("user", rootless, f"runs as {image.user or 'root'}, a number that is not root's"),
        _plain(
            "hardened",
            not found["writable"],
            "runs read-only, without network and capabilities, under a strange user"
            if not found["writable"]
            else f"can write to {capped(found['writable'])}",
        ),
        _plain(
            "entrypoint",
            image.entrypoint[:1] not in ((), ("/bin/sh",)),
            f"starts {' '.join(image.entrypoint[:3])} …, without a shell",
        ),
        _plain("health", seen.health["code"] == 0, "its own health check says healthy"),
        _plain("stop", seen.exit_code == 0, f"ends on SIGTERM with code {seen.exit_code}"),
    ]
    if seen.minimal:
        checks.append(
            _plain("shell", not shells, f"has {'no shell' if not shells else capped(shells)}")
        )
    return tuple(checks)


def _contents(seen: Seen) -> tuple[Check, ...]:
    inside = {name.replace("_", "-") for name in seen.found["packages"]}
    missing, strange = sorted(seen.packages - inside), sorted(inside - seen.packages)
    listed = (
        f"{len(inside)} packages, each in the bill of materials"
        if not (missing or strange)
        else f"packages differ from the lock: {capped([*missing, *strange])}"
    )
    forbidden = seen.inside.forbidden
    clean = "no pickles, no scikit-learn, pandas or MLflow, no compiler, no cache, nothing writable"
    return (
        _plain("packages", not (missing or strange), listed),
        _plain("contents", not forbidden, clean if not forbidden else capped(forbidden)),
    )


def _budgets(section: ImageSection, seen: Seen) -> tuple[Check, ...]:
    key = "minimal_size_mb" if seen.minimal else "size_mb"
    budgets = (
        ("size", seen.image.size / MB, key, getattr(section, key), "MB unpacked"),
        ("memory", seen.memory / MB, "memory_mb", section.memory_mb, "MB of memory when idle"),
    )
    return tuple(
        Check(
            name=name,
            passed=figure <= limit,
            figure=round(figure, 1),
            limit=float(limit),
            message=f"{figure:.0f} {what}, budget {limit} (image.{key})",
        )
        for name, figure, key, limit, what in budgets
    )


def _plain(name: str, passed: bool, message: str) -> Check:
    return Check(name=name, passed=passed, figure=None, limit=None, message=message)
