"""`modelyard smoke`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project


@click.command("smoke")
@click.argument("address", required=False)
@click.option(
    "--package",
    type=click.Path(path_type=Path),
    help="The package to compare with; package/, else the champion's.",
)
@click.option("--champion", is_flag=True, help="Compare with the champion's package.")
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, help="Seconds an answer may take."
)
def command(address: str | None, package: Path | None, champion: bool, timeout: float) -> None:
    """Score the golden samples at ADDRESS, or at a server started here, and compare the answers."""
    from modelyard.ship import serve
    from modelyard.ship.smoke import smoke

    if package is None:
        here = project.load()
        whole = here.package / "manifest.json"
        chosen = serve.released(here) if champion or not whole.is_file() else None
        served = chosen or serve.Served(here.package, "")
    else:
        served = serve.Served(package, "")
    found = smoke(served, address, timeout=timeout)
    click.echo(
        f"✓ {found.model}: {found.samples} golden samples through {found.address}, largest "
        f"difference {found.difference:.1g} (tolerance {found.tolerance:.1g}), "
        f"{found.seconds:.2f} s"
    )
