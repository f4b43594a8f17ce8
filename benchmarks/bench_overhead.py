"""What `modelyard run` takes beyond the tuning budget on the demo's larger table, by stage.

    python benchmarks/bench_overhead.py [--budget 40] [--rounds 1] [--profile FOLDER]

Target: at most 25 s. A stage's time is its process's whole life, from its start to its end, imports
included; "between" is what passes outside the stages: DVC's bookkeeping, tracking, the release.
With --profile the run's own process works under cProfile, and every stage but tune is run once more
under it afterwards; the figures are left in FOLDER, for `python -m pstats`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import measure
import psutil

LIMIT = 25.0
STAGES = ("ingest", "split", "tune", "train", "evaluate", "pack", "gate")


class Watch(threading.Thread):
    """Notes when each stage's process below `root` starts, and when it is gone."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(root)
        self.lives: dict[str, tuple[float, float]] = {}
        self._known: dict[int, str | None] = {}

    def run(self) -> None:
        """Look every 20 ms until the root is gone."""
        while self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE:
            try:
                for child in self.root.children(recursive=True):
                    self._look(child)
            except psutil.Error:
                pass
            time.sleep(0.02)

    def _look(self, child: psutil.Process) -> None:
        name = self._known.get(child.pid)
        try:
            if name is None:
                words = child.cmdline()
                if "stage" not in words[:-1]:
                    return
                name = words[-1]
                self._known[child.pid] = name
            # Not its create_time: that is counted from the boot time, which is in whole seconds.
            now = time.time()
            self.lives[name] = (self.lives.get(name, (now, now))[0], now)
        except psutil.Error:
            return


def once(folder: Path, budget: float, profile: Path | None) -> dict[str, float]:
    """Make a fresh project and run it; seconds by stage, outside the stages, and in all."""
    modelyard = str(measure.BIN / "modelyard")
    table = measure.FLIGHTS / "flights_v2_jan_aug.csv"
    measure.run(
        [modelyard, "init", "bench", "--data", str(table), "--target", "late",
         "-S", f"tune.budget={budget:g}s"],
        folder,
    )  # fmt: skip
    command = [modelyard, "run"]
    if profile is not None:
        profile.mkdir(parents=True, exist_ok=True)
        command = _profiled(profile / "run", command)
    started = time.time()
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command, cwd=folder / "bench", env=measure.environment(), stdout=said, stderr=said
        )
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
        total = time.time() - started
        watch.join()
        if code:
            said.seek(0)
            raise SystemExit(said.read())
    for name in STAGES if profile is not None else ():
        if name != "tune":
            words = _profiled(profile / name, [modelyard, "stage", name])
            measure.run(words, folder / "bench")
    spent = {name: watch.lives[name][1] - watch.lives[name][0] for name in STAGES}
    between = total - sum(spent.values())
    first = watch.lives["ingest"][0] - started
    last = started + total - watch.lives["gate"][1]
    return spent | {
        "before the first stage": first,
        "between the stages": between - first - last,
        "after the last stage": last,
        "total": total,
    }


def _profiled(figures: Path, command: list[str]) -> list[str]:
    """The same command under cProfile."""
    return [sys.executable, "-m", "cProfile", "-o", str(figures.resolve()), *command]


def main() -> None:
    """Print the medians by stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=40.0, help="seconds, as in the demo")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    found: list[dict[str, float]] = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            found.append(once(Path(scratch), options.budget, options.profile))
    middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
    middle["tune beyond the budget"] = middle.pop("tune") - options.budget
    total = middle.pop("total")
    beyond = total - options.budget
    rows = [[name, f"{seconds:.1f}"] for name, seconds in middle.items()]
    rows.append(["**all, beyond the budget**", f"**{beyond:.1f}**"])
    print(measure.markdown(["", "seconds"], rows))
    print(f"\nTarget: {LIMIT:.0f} s. The budget was {options.budget:g} s, the whole {total:.1f} s.")
    body = {"limit": LIMIT, "budget": options.budget, "rounds": options.rounds}
    measure.save("overhead", body | {"seconds": middle, "beyond_budget": beyond, "total": total})


if __name__ == "__main__":
    main()
