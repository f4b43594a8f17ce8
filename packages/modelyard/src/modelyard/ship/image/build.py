"""image build: the context, the engine, the records."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.errors import ToolFailed, UsageError
from modelyard.project import Project
from modelyard.records import ChampionRecord, ImageRecord, write_bytes, write_json
from modelyard.registry import images
from modelyard.registry.lock import hold
from modelyard.render.image import EPOCH
from modelyard.ship.image import choose, context, describe
from modelyard.ship.release import now_text, present
from modelyard.tools import engine as engines
from modelyard.tools import git

MINIMAL = "minimal"
"""The stage of the Dockerfile that is a runtime of its own."""

SBOM = "image.cdx.json"
RECORDS = ("records/image.json", f"records/{images.FILE}", f"records/{SBOM}")


@dataclass(frozen=True)
class Built:
    """The record of an image, and what a person should hear beside it."""

    record: ImageRecord
    notes: tuple[str, ...]


def build(
    project: Project,
    *,
    tag: str = "",
    release: str = "",
    minimal: bool = False,
    force: bool = False,
    cache: bool = True,
    commit: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Built:
    """Build the image of a release.

    Args:
        tag: its name; `NAME:VERSION` by default, with `-minimal` behind it for that one.
        release: an earlier release instead of the champion.
        minimal: on the stage `minimal`, which has no shell.
        force: move a tag that another release or a stranger's image holds.
        cache: let the engine use layers that it has.
        commit: commit the files and records that were written.
        say: called with each line of the engine's.

    Raises:
        UsageError: the tag is taken by another image.
        ModelyardError: the package is not what the gate judged.
        ToolFailed: no engine, no base image, no wheels, no room.
    """
    image = project.settings.image
    engine = engines.find(image.engine)
    chosen = choose.release_of(project, release)
    minimal = minimal or image.runtime == MINIMAL
    reference = tag or _reference(project, chosen, minimal)
    _refuse_taken(engine, reference, chosen, force)
    with hold(project, "modelyard image build"):
        started = time.monotonic()
        made = context.assemble(project, chosen)
        base = engines.secure(engine, image.base, image.platform)
        runtime = MINIMAL if minimal else image.runtime
        if runtime not in (None, MINIMAL):
            engines.secure(engine, str(runtime), image.platform)
        epoch = _epoch()
        arguments = {"BASE_IMAGE": image.base, "SOURCE_DATE_EPOCH": str(epoch)}
        arguments |= {"MODEL_VERSION": chosen.version}
        if runtime:
            arguments["RUNTIME_IMAGE"] = runtime
        labels = describe.labels(project, chosen, base=image.base, base_id=base.id)
        command = engines.build_command(
            engine,
            made.folder,
            reference,
            arguments=arguments,
            labels=labels,
            platform=image.platform,
            cache=cache,
        )
        engines.build(engine, command, say)
        found = engines.image(engine, reference)
        assert found is not None, "the engine said that it was built"
        bill = describe.sbom(context.name_of(project), chosen, made.wheels, base=image.base)
        write_bytes(project.records / SBOM, bill)
        words = ["image" if word == str(made.folder) else word for word in command]
        record = ImageRecord(
            reference=reference,
            image_id=found.id,
            layers=found.layers,
            size=found.size,
            minimal=minimal,
            engine=f"{engine.name} {engine.version}",
            builder=engine.builder,
            platform=found.platform,
            python=image.python,
            base=image.base,
            base_id=base.id,
            epoch=epoch,
            version=chosen.version,
            package_digest=chosen.package_digest,
            model_digest=chosen.model_digest,
            run_id=chosen.run_id,
            data_version=chosen.data_version,
            data_md5=chosen.data_md5,
            commit=chosen.commit,
            wheels=made.wheels,
            labels=dict(found.labels),
            sbom=f"records/{SBOM}",
            command=(engine.name, *words),
            seconds=round(time.monotonic() - started, 2),
            built=now_text(),
        )
        # Noted when it is signed: a deploy takes what is noted.
        _sign(project, record)
        images.note(project, record)
        _move_latest(engine, reference)
        if commit:
            _commit(project, record, made.written)
    notes = [f"wrote {path}" for path in made.written]
    if made.differing:
        notes.append(
            "image/requirements.lock differs from this environment: "
            f"{', '.join(made.differing)}; `modelyard image lock` takes it over"
        )
    return Built(record, tuple(notes))


def _reference(project: Project, chosen: ChampionRecord, minimal: bool) -> str:
    return f"{context.name_of(project)}:{chosen.version}" + ("-minimal" if minimal else "")


def _move_latest(engine: engines.Engine, reference: str) -> None:
    """NAME:latest is what was built last, for compose.yaml; a stranger's is left alone."""
    name, colon, tag = reference.rpartition(":")
    latest = f"{name if colon and '/' not in tag else reference}:latest"
    there = engines.image(engine, latest)
    if there is None or f"{describe.OWN}package.digest" in there.labels:
        engine.call(["tag", reference, latest])


def _refuse_taken(
    engine: engines.Engine, reference: str, chosen: ChampionRecord, force: bool
) -> None:
    """A tag names one release for ever: only the same package may be built under it again."""
    there = engines.image(engine, reference)
    if there is None or force:
        return
    package = there.labels.get(f"{describe.OWN}package.digest", "")
    if package == chosen.package_digest:
        return
    raise UsageError(
        f"The tag {reference} exists already, for another image.",
        why=f"It is {there.id[7:19]} of {there.created[:19]}"
        + (f", with package {package[:12]}…." if package else ", which modelyard did not build."),
        next_step="modelyard image build --tag NAME:ANOTHER, or --force to move the tag",
    )


def _epoch() -> int:
    """The time of every file in our layers: SOURCE_DATE_EPOCH where it is set, else 1980.

    Not the release's own time: the layers of the packages would then change with every release.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return EPOCH
    if not text.isdigit():
        raise UsageError(
            f"SOURCE_DATE_EPOCH={text} is not a number of seconds.",
            why="It is the time that every file in the image's layers gets.",
            next_step="unset SOURCE_DATE_EPOCH",
        )
    return int(text)


def _sign(project: Project, record: ImageRecord) -> None:
    """Run the person's signing command. It fails the build: an unsigned image must be noticed."""
    command = project.settings.image.sign
    if not command:
        return
    candidate = project.state / "image-to-sign.json"
    candidate.parent.mkdir(parents=True, exist_ok=True)
    write_json(candidate, record)
    environment = {
        **os.environ,
        "IMAGE": record.reference,
        "IMAGE_ID": record.image_id,
        "IMAGE_RECORD": candidate.relative_to(project.root).as_posix(),
        "IMAGE_SBOM": record.sbom,
    }
    # Variables in the words are filled by us: no shell reads a line of modelyard.yaml.
    words = [_filled(word, environment) for word in shlex.split(command)]
    try:
        done = subprocess.run(words, cwd=project.root, env=environment, capture_output=True)
    except OSError as error:
        raise ToolFailed(
            f"The image was built and not signed: {words[0]} cannot be started.",
            why=str(error.strerror),
            next_step="install it, or set image.sign to null in modelyard.yaml",
        ) from error
    finally:
        candidate.unlink(missing_ok=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise ToolFailed(
            f"The image was built and not signed: {words[0]} ended with {done.returncode}.",
            why=said[-1] if said else "It gave no reason.",
            next_step="look at image.sign in modelyard.yaml, then: modelyard image build",
        )


def _filled(word: str, environment: dict[str, str]) -> str:
    for name in ("IMAGE_RECORD", "IMAGE_SBOM", "IMAGE_ID", "IMAGE"):
        for form in (f"${{{name}}}", f"${name}"):
            word = word.replace(form, environment[name])
    return word


def _commit(project: Project, record: ImageRecord, written: tuple[str, ...]) -> None:
    paths = present(project, (*written, *RECORDS))
    git.commit(
        project.root,
        f"build: image {record.reference}, {record.image_id[7:19]}",
        paths,
    )
