"""ci run: the jobs of a pipeline file in order, each in a clean clone, all that they said kept."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from modelyard.ci import choosing, clones, kept
from modelyard.ci.page import COLOURS
from modelyard.ci.pipeline import Event, Pipeline, PipelineJob, Setting, Step
from modelyard.ci.runs import JobRun, Run, State, folder
from modelyard.errors import Interrupted, UsageError, capped
from modelyard.programs import own_first
from modelyard.project import Project
from modelyard.registry.lock import hold
from modelyard.ship.deploy import door
from modelyard.tools import git
from modelyard.tools.processes import mark

GRACE = 10.0
"""Seconds that a job has to end after it was told to."""

HIDDEN = ("MODELYARD_", "MLFLOW_", "GIT_", "GITHUB_", "CI_", "GITLAB_", "DVC_", "RUNNER_")
"""What a job does not inherit, as a service would not have it: it is set by variables."""

KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "DVC_NO_ANALYTICS")

TIMED_OUT = 124

ERROR = re.compile(
    r"✗ |FAILED |\S+: line \d+: |Error response from daemon: "
    r"|(?:[\w.]*(?:Error|Exception|Failed)|ERROR|error|fatal): "
)
"""How a line begins that tells an error. What follows it is a hint: it is not why a job failed."""


def run(
    project: Project,
    stages: Sequence[str] = (),
    *,
    file: str | None = None,
    until: str | None = None,
    event: Event | None = None,
    variables: Mapping[str, str] | None = None,
    committed: bool = False,
    keep: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Run the pipeline's jobs here, as the service would, and return how it went.

    Args:
        stages: only these stages' (or jobs'); all where it is empty. A job that waits for a
            person runs where it is named itself: that is the person's word.
        file: the pipeline file, relative to the project; without, see `choosing.read`.
        until: the last stage.
        event: what the pipeline runs for; a push on the protected branch, a proposed change
            elsewhere.
        variables: those that are set at the service, secrets included. They are not written down.
        committed: run HEAD although there are changes that are not committed.
        keep: leave the clones where they are.
        say: called with every line that a job prints, and with a line around each job.

    Raises:
        UsageError: no such file or stage, no commit, or changes that are not committed.
        Interrupted: the run was cancelled; its record and logs are there, and say so.
        LockHeld: another modelyard command works here.
    """
    root = project.root
    commit = git.head(root)
    if commit is None:
        raise UsageError(
            "There is no commit to run the pipeline on.",
            why="Each job starts in a clean clone of what is committed.",
            next_step="git add . ; git commit -m 'Start'",
        )
    dirty = git.changed_files(root)
    if dirty and not committed:
        files = "1 file is" if len(dirty) == 1 else f"{len(dirty)} files are"
        raise UsageError(
            f"{files} not committed: {capped(dirty, 5)}.",
            why="Each job starts in a clean clone, as on the service, and would not see them.",
            next_step="git commit them, or run what is committed: modelyard ci run --committed",
        )
    branch = git.branch(root) or ""
    main = project.settings.ci.branch
    setting = Setting(
        event=event or ("push" if branch == main else "change"),
        branch=branch or commit[:8],
        default_branch=main,
        commit=commit,
        variables=variables or {},
    )
    whole = choosing.read(project, file, setting)
    pipeline = whole.chosen(stages, until)
    if not pipeline.jobs:
        raise choosing.nothing(project, file, setting, whole, stages, until)
    with hold(project, "modelyard ci run"):
        return _Running(project, pipeline, setting, branch or None, keep, say, stages).run()


class _Running:
    """One run: its folder, its record as it grows."""

    def __init__(
        self,
        project: Project,
        pipeline: Pipeline,
        setting: Setting,
        branch: str | None,
        keep: bool,
        say: Callable[[str], None],
        asked: Sequence[str],
    ) -> None:
        self.project, self.pipeline, self.setting = project, pipeline, setting
        self.branch, self.keep, self.say = branch, keep, say
        now = datetime.now(UTC)
        moment = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
        self.id = f"{moment}-{setting.commit[:8]}"
        self.started = time.monotonic()
        self.when = now.isoformat(timespec="seconds")
        self.place = folder(project) / self.id
        self.leaving, self.asked = pipeline.leaving, asked
        self.jobs = {job.name: JobRun(name=job.name, stage=job.stage) for job in pipeline.jobs}
        self.scratch = Path(tempfile.mkdtemp(prefix="modelyard-ci-"))

    def run(self) -> Run:
        """Every job; on Ctrl-C the record says so, and Interrupted is raised.

        An unexpected error fails the job in which it came, ends the record, and is raised again.
        """
        kept.end_killed(self.project)
        self.place.mkdir(parents=True)
        cancelled = False
        failed_stage: str | None = None
        try:
            for number, job in enumerate(self.pipeline.jobs, start=1):
                self._write("running")
                reason = self._skips(job, failed_stage)
                if reason or (job.manual and job.name not in self.asked):
                    state = "skipped" if reason else "manual"
                    why = reason or f"a person has to agree: modelyard ci run {job.name}"
                    self._note(job.name, state=state, reason=why)
                    self.say(f"[{job.name}] {state}: {why}")
                    continue
                self._job(number, job)
                if self._broken(job.name) and failed_stage is None:
                    failed_stage = job.stage
        except KeyboardInterrupt:
            cancelled = True
            self._cut("canceled", "the run was cancelled")
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            self._cut("failed", reason)
            with suppress(OSError):  # where nothing can be written any more, the error says why
                self._finish(False, "failed")
            raise
        finally:
            if not self.keep:
                shutil.rmtree(self.scratch, ignore_errors=True)
        done = self._finish(cancelled)
        if cancelled:
            raise Interrupted(
                "The run was cancelled; the next one starts from the first job.",
                why=f"Its logs are in {self._shown()}.",
                next_step="modelyard ci run",
            )
        return done

    def _cut(self, state: State, reason: str) -> None:
        """The run ends here: the job that ran gets this state, those that waited are skipped."""
        for name, job in self.jobs.items():
            if job.state == "running":
                code = 1 if state == "failed" else job.exit_code
                self._note(name, state=state, reason=reason, exit_code=code)
            elif job.state == "waiting":
                self._note(name, state="skipped", reason=reason)

    def _skips(self, job: PipelineJob, failed_stage: str | None) -> str:
        """Why a job is not run: something that it needs has not succeeded."""
        if job.needs is None:
            stop = failed_stage and "failed" not in job.after
            return f"stage {failed_stage} failed" if stop else ""
        for name in job.needs:
            need = self.jobs.get(name)
            if need is None or need.state in job.after:
                continue
            if need.state in ("manual", "skipped"):
                return f"{name} was not run"
            if not need.allow_failure:
                return f"{name} did not succeed"
        return ""

    def _broken(self, name: str) -> bool:
        return self.jobs[name].state == "failed" and not self.jobs[name].allow_failure

    def _job(self, number: int, job: PipelineJob) -> None:
        log = self.place / f"{number:02d}-{job.name}.log"
        clone = self.scratch / job.name
        self._note(job.name, state="running", log=log.name, allow_failure=job.allow_failure)
        self._write("running")
        self.say(f"[{job.name}] stage {job.stage}, {self.pipeline.file}")
        started = time.monotonic()
        code, reason = 1, ""
        left: list[str] = []
        with log.open("w", encoding="utf-8", buffering=1) as file:
            try:
                clones.make(self.project, clone, self.setting.commit, self.branch)
                inside = clone / self._below()
                for name in job.downloads if job.downloads is not None else self._earlier(job):
                    for path in self._artifacts(name, job, file):
                        clones.copy(
                            path, inside / path.relative_to(self.place / "artifacts" / name)
                        )
                code, reason = self._steps(job, inside, file)
                for artifact in job.artifacts:
                    if code == 0 or artifact.always:
                        target = self.place / "artifacts" / artifact.name
                        left += clones.collect(inside, artifact.paths, target)
            except KeyboardInterrupt:
                file.write("\ncancelled\n")
                raise
            finally:
                self._note(job.name, seconds=round(time.monotonic() - started, 3))
        state = "success" if code == 0 else "failed"
        self._note(
            job.name,
            state=state,
            exit_code=code,
            reason=reason,
            artifacts=tuple(dict.fromkeys(left)),
            process="",
        )
        said = "ok" if code == 0 else f"failed with exit code {code}: {reason}"
        self.say(f"[{job.name}] {said} ({self.jobs[job.name].seconds:.1f} s)")
        if not self.keep:
            shutil.rmtree(clone, ignore_errors=True)

    def _below(self) -> Path:
        top = git.toplevel(self.project.root) or self.project.root
        return self.project.root.resolve().relative_to(top.resolve())

    def _earlier(self, job: PipelineJob) -> list[str]:
        """Whose artifacts a job starts from: those that it needs, or all of the stages before."""
        if job.needs is not None:
            return list(job.needs)
        stages = self.pipeline.stages
        before = stages[: stages.index(job.stage)] if job.stage in stages else ()
        return [name for name, owner in self.leaving.items() if owner.stage in before]

    def _artifacts(self, name: str, job: PipelineJob, log: object) -> list[Path]:
        place = self.place / "artifacts" / name
        owner = self.leaving.get(name)
        if not place.is_dir() and owner is not None and owner.name not in self.jobs:
            # Only some stages were asked for: what an earlier run of this commit has left serves.
            older = kept.artifacts(self.project, self._record("running"), name, owner.name)
            if older:
                shutil.copytree(older, place)
                self._line(job, log, f"artifacts of {name}: from run {older.parent.parent.name}")
            else:
                self._line(
                    job,
                    log,
                    f"artifacts of {name}: none, {owner.name} has not succeeded here on this "
                    f"commit; first: modelyard ci run --until {owner.name} "
                    f"--file {self.pipeline.file}",
                )
        return sorted(place.iterdir()) if place.is_dir() else []

    def _steps(self, job: PipelineJob, clone: Path, log: object) -> tuple[int, str]:
        """The steps in order; after the first failure, which counts, those that always run."""
        code, reason = 0, ""
        deadline = time.monotonic() + job.timeout
        environ = self._environ(job, clone)
        for step in job.steps:
            if code and not step.always:
                continue
            if step.note:
                self._line(job, log, step.note)
                continue
            if len(job.steps) > 1:
                self._line(job, log, f"$ {step.name}")
            found, last = self._bash(job, step, clone, environ | dict(step.env), log, deadline)
            if found and not code:
                code, reason = found, _reason(step, found, last, job)
        return code, reason

    def _environ(self, job: PipelineJob, clone: Path) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or not name.startswith(HIDDEN)
        }
        inherited.pop("VIRTUAL_ENV_PROMPT", None)
        scratch = self.scratch / f"{job.name}.files"
        scratch.mkdir(exist_ok=True)
        files = {}
        for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH"):
            (scratch / name).touch()
            files[name] = str(scratch / name)
        here = {"CI_PROJECT_DIR": str(clone), "GITHUB_WORKSPACE": str(clone), **files}
        here[door.HOME] = str(self.project.root)
        here["PATH"] = own_first(inherited.get("PATH"))
        return inherited | here | dict(self.setting.variables) | dict(job.env)

    def _bash(
        self,
        job: PipelineJob,
        step: Step,
        clone: Path,
        environ: Mapping[str, str],
        log: object,
        deadline: float,
    ) -> tuple[int, str]:
        """One script in a process group of its own; its exit code, and what it said of that."""
        script = self.scratch / f"{job.name}.sh"
        script.write_text(step.script, encoding="utf-8")
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=clone,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._note(job.name, process=mark(process.pid))
        self._write("running")
        late = threading.Event()

        def stop() -> None:
            late.set()
            _end(process)

        clock = threading.Timer(max(0.0, deadline - time.monotonic()), stop)
        clock.start()
        last, told = "", ""
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self._line(job, log, line)
                last = COLOURS.sub("", line).strip() or last
                if last.startswith("$ "):
                    told = ""  # of a command that was followed by another: it was no matter
                elif ERROR.match(last):
                    told = last
            code = process.wait()
        except KeyboardInterrupt:
            _end(process)
            raise
        finally:
            clock.cancel()
        if late.is_set():
            return TIMED_OUT, f"it ran longer than {job.timeout / 60:.0f} minutes"
        return (128 - code if code < 0 else code), told or last

    def _line(self, job: PipelineJob, log: object, text: str) -> None:
        log.write(text + "\n")  # type: ignore[attr-defined]
        self.say(f"[{job.name}] {text}")

    def _note(self, name: str, **what: object) -> None:
        self.jobs[name] = msgspec.structs.replace(self.jobs[name], **what)

    def _record(self, state: str, code: int | None = None) -> Run:
        return Run(
            id=self.id,
            project=self.project.name,
            file=self.pipeline.file,
            event=self.setting.event,
            branch=self.setting.branch,
            commit=self.setting.commit,
            subject=git.subject(self.project.root, self.setting.commit),
            started=self.when,
            seconds=round(time.monotonic() - self.started, 3),
            state=state,  # type: ignore[arg-type]
            exit_code=code,
            stages=tuple(
                s for s in self.pipeline.stages if any(j.stage == s for j in self.jobs.values())
            ),
            jobs=tuple(self.jobs.values()),
            modelyard=version("modelyard"),
        )

    def _write(self, state: str, code: int | None = None) -> Run:
        made = self._record(state, code)
        kept.write(self.place, made)
        return made

    def _finish(self, cancelled: bool, state: State | None = None) -> Run:
        broken = next((job for name, job in self.jobs.items() if self._broken(name)), None)
        code = Interrupted.exit_code if cancelled else broken.exit_code if broken else 0
        if state == "failed":
            code = code or 1
        state = state or ("canceled" if cancelled else "failed" if broken else "success")
        done = self._record(state, code)
        kept.end(self.place, done)
        return done

    def _shown(self) -> str:
        return str(self.place.relative_to(self.project.root))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a job's processes to end, and after a while make them."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            process.poll()
            os.killpg(process.pid, 0)  # raises once the whole group is gone, not its leader alone
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(GRACE)


def _reason(step: Step, code: int, last: str, job: PipelineJob) -> str:
    """Why a job has failed: what its exit code means, and the last error that it told."""
    known = {
        3: "the gate refused the candidate",
        4: "the data is invalid",
        127: "a program is missing",
        TIMED_OUT: "",
    }.get(code)
    if known is None:
        return last or f"{step.name} ended with {code}"
    return ": ".join(filter(None, (known, last)))
