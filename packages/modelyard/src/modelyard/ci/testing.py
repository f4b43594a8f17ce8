"""test: the project holds together: the doctor, the packages, the data, a person's tests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from modelyard import checks
from modelyard.checks.finding import Finding
from modelyard.ci import junit
from modelyard.errors import ModelyardError
from modelyard.project import Project, load
from modelyard.records import GateRecord, read_if_there
from modelyard.registry import champion
from modelyard.ship import golden
from modelyard.versions.validate import validate

NO_TESTS = 5
"""pytest's exit code where it has found no test."""


def examine(start: Path | None = None, report: Path | None = None) -> list[Finding]:
    """Run everything; `report` is where a JUnit file goes. pytest writes to our own output.

    Raises:
        NotAProject: there is no project here.
    """
    project = load(start)
    cases: list[junit.Case] = []
    findings: list[Finding] = []
    for found, seconds in _timed(
        lambda: checks.examine(start),
        lambda: _candidate(project),
        lambda: _champion(project),
        lambda: _data(project),
    ):
        findings += found
        cases += [_case(finding, seconds / len(found)) for finding in found]
    with tempfile.TemporaryDirectory(prefix="modelyard-junit-") as scratch:
        theirs = Path(scratch) / "pytest.xml"
        own = _own_tests(project, theirs)
        findings += own
        if report is not None:
            suites = [junit.Suite("modelyard", (*cases, *(_case(f, 0.0) for f in own)))]
            junit.write(report.absolute(), suites, [theirs] if theirs.is_file() else ())
    return findings


def _timed(*steps: Callable[[], list[Finding]]) -> Iterator[tuple[list[Finding], float]]:
    for step in steps:
        started = time.monotonic()
        found = step()
        if found:
            yield found, time.monotonic() - started


def _case(finding: Finding, seconds: float) -> junit.Case:
    state = {"ok": "passed", "warning": "passed", "error": "failed"}[finding.state]
    text = f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message
    return junit.Case(finding.name, state, seconds, finding.message, text)  # type: ignore[arg-type]


def _candidate(project: Project) -> list[Finding]:
    """The working package: whole, the one that was judged, and it scores as it was packed."""
    digest = champion.manifest_digest(project.package)
    if digest is None:
        return [Finding("package", "warning", "there is no package/ here yet", "modelyard run")]
    verdict = read_if_there(project.record("gate"), GateRecord)
    if verdict is not None and verdict.candidate_digest != digest:
        return [
            Finding(
                "package",
                "error",
                f"package/ is {digest[:12]}, the gate has judged {verdict.candidate_digest[:12]}",
                "modelyard run",
            )
        ]
    return [_holds("package", project.package)]


def _champion(project: Project) -> list[Finding]:
    now = champion.current(project)
    if now is None or now.package_digest == champion.manifest_digest(project.package):
        return []
    try:
        package = champion.package_of(project, now.version, now.package_digest)
    except ModelyardError as error:
        said = f"{error.what} {error.why}".strip()
        return [Finding("champion", "warning", said, error.next_step)]
    return [_holds("champion", package)]


def _holds(name: str, package: Path) -> Finding:
    try:
        samples, difference = golden.check(package)
    except ModelyardError as error:
        return Finding(name, "error", f"{error.what} {error.why}", error.next_step)
    text = f"{samples} golden samples score as packed, largest difference {difference:.1g}"
    return Finding(name, "ok", text)


def _data(project: Project) -> list[Finding]:
    try:
        found = validate(project)
    except ModelyardError as error:
        return [Finding("schema", "error", f"{error.what} {error.why}".strip(), error.next_step)]
    return [Finding("schema", "ok", f"{found.rows:,} rows fit {found.against}")]


def _own_tests(project: Project, report: Path) -> list[Finding]:
    """A person's own tests, under tests/, by pytest in a process of its own."""
    folder = project.root / "tests"
    if not folder.is_dir() or not any(folder.rglob("test_*.py")):
        return []
    if find_spec("pytest") is None:
        return [
            Finding(
                "tests",
                "error",
                "tests/ holds tests, and pytest is not installed",
                "pip install pytest, and add it to requirements.lock",
            )
        ]
    sys.stdout.flush()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(folder), f"--junitxml={report}"],
        cwd=project.root,
    )
    # pytest's 2 is Ctrl-C, and also a test file that cannot be imported; Ctrl-C reaches us too.
    if done.returncode in (-2, 130):
        raise KeyboardInterrupt
    if done.returncode not in (0, NO_TESTS):
        text = f"pytest ended with code {done.returncode} in tests/"
        return [Finding("tests", "error", text, "python -m pytest tests")]
    return [Finding("tests", "ok", "pytest passed in tests/")]
