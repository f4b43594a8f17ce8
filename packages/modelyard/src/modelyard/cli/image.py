"""`modelyard image build|run|verify|lock|context|report`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli import show


@click.group("image")
def command() -> None:
    """The champion as a container image: build it, run it, prove what is inside."""


@command.command("build")
@click.option("--tag", default="", help="Name of the image; NAME:VERSION by default.")
@click.option("--release", default="", help="An earlier release, such as v1; else the champion.")
@click.option("--minimal", is_flag=True, help="Python and no shell beneath the endpoint.")
@click.option("--force", is_flag=True, help="Move a tag that another image holds.")
@click.option("--no-cache", is_flag=True, help="Build every layer anew.")
@click.option("--no-commit", is_flag=True, help="Leave the written files and records uncommitted.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_context
def build(
    ctx: click.Context,
    tag: str,
    release: str,
    minimal: bool,
    force: bool,
    no_cache: bool,
    no_commit: bool,
    as_json: bool,
) -> None:
    """Build the image of the champion, without network, from the bytes that the gate judged."""
    from modelyard.ship.image.build import build as build_image

    words = bool(ctx.obj and ctx.obj["verbose"])
    made = build_image(
        project.load(),
        tag=tag,
        release=release,
        minimal=minimal,
        force=force,
        cache=not no_cache,
        commit=not no_commit,
        say=(lambda line: click.echo(f"  {line}", err=True)) if words else (lambda line: None),
    )
    record = made.record
    if as_json:
        show.as_json(record)
        return
    for note in made.notes:
        click.echo(f"  {note}")
    click.echo(
        f"{record.reference}  {record.image_id[7:19]}  {record.size / 1e6:.0f} MB, "
        f"in {record.seconds:.1f} s with {record.engine} ({record.builder})"
    )
    click.echo(f"  model v{record.version}, package {record.package_digest[:12]}, {record.sbom}")
    click.echo("Next:  modelyard image verify  ·  modelyard image run")


@command.command("run")
@click.argument("reference", default="")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of this machine.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--detach", is_flag=True, help="Leave it running; print its address when it answers.")
@click.option("--name", default="", help="With --detach: the container's name.")
def run(reference: str, host: str, port: int, detach: bool, name: str) -> None:
    """Run the image, hardened: read-only, no capabilities, no new privileges, not root."""
    from modelyard.ship.image import run as runs

    here = project.load()
    if not detach:
        click.echo(f"http://{host}:{port} (Ctrl-C ends it)")
        runs.foreground(here, reference, host=host, port=port)
    found = runs.background(here, reference, host=host, port=port, name=name)
    click.echo(f"{found.url}  {found.container[:12]}, ready in {found.ready_seconds:.1f} s")
    name, container = found.engine, found.container[:12]
    click.echo(f"Next:  {name} logs {container}  ·  {name} rm -f {container}")


@command.command("verify")
@click.argument("reference", default="")
@click.option("--compressed", is_flag=True, help="Also the size as a registry keeps it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def verify(reference: str, compressed: bool, as_json: bool) -> None:
    """Score inside the running container, look at every file, hold the budgets.

    Exits with 1 where a check fails.
    """
    from modelyard.ship.image.verify import verify as verify_image

    quiet = as_json
    found = verify_image(
        project.load(),
        reference,
        compressed=compressed,
        say=lambda line: None if quiet else click.echo(f"  {line} …"),
    )
    if as_json:
        show.as_json(found)
    else:
        print_check(found)
    if not found.passed:
        raise SystemExit(1)


@command.command("lock")
def lock() -> None:
    """Lock the endpoint's packages anew, at this environment's versions, for the target."""
    from modelyard.ship.image import wheels

    here = project.load()
    found = wheels.lock(here)
    size = sum(wheel.bytes for wheel in found) / 1e6
    image = here.settings.image
    click.echo(
        f"image/requirements.lock: {len(found)} packages for Python {image.python} on "
        f"{image.platform}, {size:.0f} MB of wheels"
    )


@command.command("context")
@click.option("--release", default="", help="An earlier release, such as v1; else the champion.")
@click.option("--render", is_flag=True, help="Write the files of image/ over edited ones.")
def context(release: str, render: bool) -> None:
    """Fill image/ for `docker build image`, without building."""
    from modelyard.ship.image import choose
    from modelyard.ship.image import context as contexts

    here = project.load()
    written = contexts.render(here, anew=render)
    made = contexts.assemble(here, choose.release_of(here, release))
    for path in (*written, *made.written):
        click.echo(f"  wrote {path}")
    click.echo(f"image/: {len(made.wheels)} wheels and the package")
    engine = "podman" if here.settings.image.engine == "podman" else "docker"
    click.echo(f"Next:  {engine} build --network none image")


@command.command("report")
@click.argument("reference", default="")
def report(reference: str) -> None:
    """Verify, look at the page in a browser, and write reports/m3-packaging."""
    from modelyard.report import packaging
    from modelyard.ship.image.show import collect

    here = project.load()
    collected = collect(here, reference, say=lambda line: click.echo(f"  {line} …"))
    path = packaging.write(
        here, answers=collected.answers, log=collected.log, picture=collected.picture
    )
    click.echo(str(path.relative_to(here.root)))


def print_check(found: object) -> None:
    """The verdict of `image verify`."""
    from modelyard.records import ImageCheckRecord

    assert isinstance(found, ImageCheckRecord)
    show.table(
        ["  part", "MB"],
        [[f"  {name}", f"{size / 1e6:.1f}"] for name, size in found.parts.items()],
        right=(1,),
    )
    packed = f", {found.compressed / 1e6:.0f} MB compressed" if found.compressed else ""
    click.echo(f"  all: {found.size / 1e6:.0f} MB unpacked{packed}")
    packages = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    click.echo(f"  packages: {packages}")
    click.echo(f"  user {found.user}  ·  ready in {found.ready_seconds:.1f} s  ·  {found.sbom}")
    for check in found.checks:
        mark = click.style("✓", fg="green") if check.passed else click.style("✗", fg="red")
        click.echo(f"{mark} {check.name}: {check.message}")
