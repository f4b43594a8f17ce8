"""The soak of benchmarks/soak.py in short: twenty seconds at full load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[3] / "benchmarks/soak.py"


def test_twenty_seconds_at_full_load() -> None:
    command = [sys.executable, str(SOAK), "--seconds", "20", "--clients", "4"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    print(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.rstrip().endswith("as wanted")
