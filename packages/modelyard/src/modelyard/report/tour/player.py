"""What runs in the tour's terminal: types commands as a person does, and runs them.

Started as `python player.py COMMANDS.json`, by path: it must show its first prompt at once, so it
imports nothing of modelyard. Each ended command is a line `index exit-code` in COMMANDS.json.done.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path


def main(path: Path) -> None:
    """Play the commands of the file."""
    script = json.loads(path.read_text(encoding="utf-8"))
    done = path.with_name(path.name + ".done")
    prompt = f"\x1b[38;5;80m{script['prompt']}\x1b[0m \x1b[1m$\x1b[0m "
    for place, command in enumerate(script["commands"]):
        sys.stdout.write(("" if place == 0 else "\n") + prompt)
        sys.stdout.flush()
        time.sleep(0.7)
        for letter in command:
            sys.stdout.write(letter)
            sys.stdout.flush()
            time.sleep(0.032)
        time.sleep(0.4)
        sys.stdout.write("\n")
        sys.stdout.flush()
        code = subprocess.run(["bash", "-c", command]).returncode
        with done.open("a") as file:
            file.write(f"{place} {code}\n")
    sys.stdout.write("\n" + prompt)
    sys.stdout.flush()
    time.sleep(3600)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
