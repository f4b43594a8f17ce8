"""`modelyard stage NAME`: one stage in a process of its own. dvc.yaml calls this."""

from __future__ import annotations

import os
import threading
import time

import click
import psutil

from modelyard import line, project
from modelyard.cli import show
from modelyard.errors import ModelyardError
from modelyard.models import lean


@click.command("stage")
@click.argument("name", type=click.Choice([stage.name for stage in line.STAGES]))
def command(name: str) -> None:
    """Run one stage on the files that it reads, and print one line of what it found."""
    lean.own_process()
    line.install_signal_handlers()
    _end_with_the_run()
    failure = os.environ.get(line.FAILURE_FILE)
    started = time.monotonic()
    try:
        here = project.load()
        with show.stage_line(name, here.settings) as shown:
            record = line.run_stage(
                here, name, notify=shown.notify, process_started=psutil.Process().create_time()
            )
            shown.done(record, time.monotonic() - started)
    except (ModelyardError, KeyboardInterrupt) as error:
        if failure is None:
            raise
        # The run that started this process prints the error: DVC keeps only "it failed".
        line.note_failure(failure, error)
        raise SystemExit(getattr(error, "exit_code", 130)) from error


def _end_with_the_run() -> None:
    """Stop when the `modelyard run` that started this stage was killed: nobody waits any more."""
    run = os.environ.get(line.RUN_PROCESS)
    if run is None:
        return

    def watch() -> None:
        while psutil.pid_exists(int(run)):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
