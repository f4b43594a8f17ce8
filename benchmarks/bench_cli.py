"""The light commands: `modelyard --help` against importing click alone.

    python benchmarks/bench_cli.py [--rounds 15]

Target: at most 2.5 times. The modules that the command imports are looked at too: none of the heavy
ones may be among them, however fast the machine is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import measure

LIMIT = 2.5
HEAVY = (
    "numpy", "polars", "pandas", "sklearn", "lightgbm", "mlflow", "optuna", "dvc", "onnx",
    "onnxruntime", "matplotlib", "scipy", "yaml", "msgspec", "jinja2",
)  # fmt: skip


def imported() -> list[str]:
    """The heavy libraries that `modelyard --help` imports."""
    code = (
        "import sys; from modelyard.cli import invoke; invoke(['--help']); "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, encoding="utf-8"
    )
    return done.stderr.split()


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    sides = {
        "import click": [sys.executable, "-c", "import click"],
        "modelyard --help": [str(measure.BIN / "modelyard"), "--help"],
    }
    found = measure.in_turn(sides, rounds)
    body, rows = measure.compare(found, "modelyard --help", "import click")
    heavy = imported()
    print(measure.markdown(["", "import click", "modelyard --help", "ratio"], rows))
    print(f"\nTarget: {LIMIT} times the wall clock. Heavy imports: {', '.join(heavy) or 'none'}.")
    measure.save("cli", {"limit": LIMIT, "heavy_imports": heavy, **body})


if __name__ == "__main__":
    main()
