"""The command line: parse, call one function, print. The only place that prints.

Commands are imported when they are called: `modelyard --help` imports click and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from modelyard import __version__
from modelyard.errors import Interrupted, ModelyardError, Terminated

# What the tools would otherwise send home, or ask a person, is switched off before they load.
for _name, _value in {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "GIT_TERMINAL_PROMPT": "0",
    # Threads that spin while they wait take the cores from the ones that work.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Sums in BLAS depend on the number of threads; with one they are the same everywhere.
    "OPENBLAS_NUM_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)

COMMANDS = {
    "init": "Make a project from a table and a column to predict.",
    "run": "Run the line: ingest, split, tune, train, evaluate, pack, gate, release.",
    "runs": "List the runs, best first.",
    "predict": "Score a table with the champion.",
    "serve": "Serve the champion over HTTP, with a page to try it.",
    "image": "The champion as a container image: build, run, verify.",
    "drift": "Compare a table with the champion's training data.",
    "data": "Data versions: add, log, diff, checkout.",
    "trace": "Walk from a commit, run, package digest or data version to all the others.",
    "chart": "Write the Helm chart of the endpoint, or bring it up to date.",
    "deploy": "Bring the champion's image to an environment and prove it there.",
    "status": "Show what runs in an environment.",
    "logs": "Print what an environment's endpoint writes.",
    "releases": "List every deploy and rollback.",
    "rollback": "Make an earlier released model the champion, or an environment's, again.",
    "reproduce": "Refit from the recorded study, without caches, and compare.",
    "report": "Write the report page from the records.",
    "card": "Write the model card from the records; your own words in it stay.",
    "summary": "Write the one-page summary as a PDF.",
    "bundle": "Put code, data, models, reports and logs into one zip; verify it; open it.",
    "record": "Record a guided tour of the project as a video.",
    "config": "List every key of modelyard.yaml, or print its JSON Schema.",
    "ci": "Run the pipeline on this machine; report on a proposed change.",
    "smoke": "Score the golden samples over HTTP and compare the answers.",
    "lint": "Check what git keeps: project file, records, generated files.",
    "test": "Check that the project holds: doctor, packages, data, your tests.",
    "sync": "Bring the generated files up to date; your edits are kept.",
    "git": "Merge drivers: tell this clone of them, or merge one file.",
    "doctor": "Check the tools and the project, each finding with its fix.",
    "demo": "Build a complete demonstration project on bundled flight data.",
    "stage": "Run one stage by itself (what dvc.yaml calls).",
}
"""Every command and its one-line help; the file of the same name under cli/ holds it."""


class LazyGroup(click.Group):
    """A group that imports a command's file when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of a person's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"modelyard.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer the nearest command for a mistyped one."""
        from modelyard.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"There is no command {args[0]!r}{nearest(args[0], COMMANDS) or '.'}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="modelyard")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks and the tools' own words.")
@click.pass_context
def root(ctx: click.Context, verbose: bool) -> None:
    """From a table and a column to predict to a gated, packaged, registered model.

    Exit codes: 0 ok, 1 error, 2 usage, 3 gate refused, 4 data invalid, 130 interrupted,
    143 terminated.
    """
    ctx.obj = {"verbose": verbose}


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its documented code."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    sys.exit(invoke(argv))


def _terminate(number: int, frame: object) -> None:
    """End the command as Ctrl-C does; a second SIGTERM does not disturb what is put in order."""
    signal.signal(number, lambda *_: None)
    raise Terminated


def invoke(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Not called `run`: the file of `modelyard run` takes that name in this package once imported.
    """
    args = sys.argv[1:] if argv is None else argv
    verbose = "-v" in args or "--verbose" in args
    try:
        root.main(args=args, prog_name="modelyard", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_asked:
        click.echo(help_asked.format_message())
        return 0
    except click.ClickException as error:
        error.show()
        return 2 if isinstance(error, click.UsageError) else error.exit_code
    except (click.Abort, KeyboardInterrupt, Interrupted) as stop:
        if isinstance(stop, Interrupted) and stop.what:
            click.echo(f"Stopped. {stop}", err=True)
        else:
            click.echo("Stopped. Run the command again: it goes on where it was.", err=True)
        # Click makes an Abort of every KeyboardInterrupt.
        ended = isinstance(stop, Terminated) or isinstance(stop.__cause__, Terminated)
        return Terminated.exit_code if ended else Interrupted.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`modelyard runs | head`): that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModelyardError as error:
        _complain(error, verbose)
        return error.exit_code
    except Exception as error:
        if verbose:
            raise
        click.secho(f"Error: {type(error).__name__}: {error}", fg="red", err=True)
        click.echo("This was not expected; `modelyard -v …` shows where it came from.", err=True)
        return 1
    return 0


def _complain(error: ModelyardError, verbose: bool) -> None:
    if verbose and error.__cause__ is not None:
        import traceback

        traceback.print_exception(error.__cause__)
    click.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(error.what, err=True)
    if error.why:
        click.echo(f"  why:  {error.why}", err=True)
    if error.next_step:
        click.echo(f"  next: {error.next_step}", err=True)
