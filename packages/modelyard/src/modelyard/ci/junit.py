"""JUnit's XML, which both services read: suites of cases, each passed, failed or skipped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelyard.records import write_bytes

_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, such as the escape of a colour."""


@dataclass(frozen=True)
class Case:
    """One check or job. `message` says why it failed or was skipped, `output` is its end."""

    name: str
    state: Literal["passed", "failed", "skipped"] = "passed"
    seconds: float = 0.0
    message: str = ""
    output: str = ""


@dataclass(frozen=True)
class Suite:
    """Cases under one name."""

    name: str
    cases: tuple[Case, ...]


def write(path: Path, suites: Sequence[Suite], others: Sequence[Path] = ()) -> None:
    """Write the suites, and those of other JUnit files, as one file."""
    root = ET.Element("testsuites")
    for suite in suites:
        root.append(_suite(suite))
    for other in others:
        tree = ET.parse(other).getroot()  # noqa: S314
        root.extend([tree] if tree.tag == "testsuite" else list(tree))
    ET.indent(root)
    write_bytes(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _suite(suite: Suite) -> ET.Element:
    counts = {state: sum(c.state == state for c in suite.cases) for state in ("failed", "skipped")}
    made = ET.Element(
        "testsuite",
        name=suite.name,
        tests=str(len(suite.cases)),
        failures=str(counts["failed"]),
        errors="0",
        skipped=str(counts["skipped"]),
        time=f"{sum(case.seconds for case in suite.cases):.3f}",
    )
    for case in suite.cases:
        entry = ET.SubElement(
            made,
            "testcase",
            name=_plain(case.name),
            classname=suite.name,
            time=f"{case.seconds:.3f}",
        )
        if case.state != "passed":
            kind = "failure" if case.state == "failed" else "skipped"
            ET.SubElement(entry, kind, message=_plain(case.message))
        if case.output:
            ET.SubElement(entry, "system-out").text = _plain(case.output)
    return made


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("", re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", text))
