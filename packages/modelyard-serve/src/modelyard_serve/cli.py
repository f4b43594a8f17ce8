"""`modelyard-serve PACKAGE`: the command of the serve half, with the standard library's parser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from modelyard_serve import __version__
from modelyard_serve.errors import ServeError
from modelyard_serve.settings import NAMES, from_environment


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns 0, or 1 where the package or the settings cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        settings = from_environment(
            os.environ,
            host=options.host,
            port=options.port,
            workers=options.workers,
            log_level=options.log_level,
        )
        if options.check:
            return _check(options.package)
        # Imported here: --help and --check need no HTTP server.
        from modelyard_serve.server import serve

        return serve(options.package, settings)
    except ServeError as error:
        sys.stderr.write(f"modelyard-serve: {error.title}: {error.detail}\n")
        return 1


def _check(package: Path) -> int:
    from modelyard_serve.scorer import Scorer

    scorer = Scorer(package)
    difference = scorer.check_golden()
    manifest = scorer.manifest
    sys.stdout.write(
        f"{manifest.name}: FORMAT {manifest.format}, {manifest.task}, digest {scorer.digest}\n"
        f"every file is as packed; golden samples agree to {difference:.1g}\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    variables = "\n".join(f"  {name:34}{text}" for name, text in NAMES.values())
    parser = argparse.ArgumentParser(
        prog="modelyard-serve",
        description="Serve a model package over HTTP.",
        epilog=f"environment:\n{variables}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("package", type=Path, help="the folder with manifest.json")
    parser.add_argument("--host", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen at (8080)")
    parser.add_argument("--workers", type=int, help="worker processes (1)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--check", action="store_true", help="verify the package and end")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())
