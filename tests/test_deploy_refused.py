"""A cluster that lets nobody in: expired tokens, no rights, a log-in that fails, a stranger."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kube_tools
import pytest
from api_server import Refusing, refusing
from test_deploy import record

TOKEN = {"token": "expired"}


class World:
    """A project that could be deployed, and a cluster that refuses."""

    def __init__(self, project: Any, folder: Path, patch: pytest.MonkeyPatch, stack: ExitStack):
        self.project, self._folder, self._patch, self._stack = project, folder, patch, stack

    def refuse(
        self, code: int, *, greets: bool = False, user: Any = TOKEN, trusted: bool = True
    ) -> Refusing:
        """Start the server and lead the kubeconfig to it."""
        server = self._stack.enter_context(refusing(self._folder, code, greets=greets))
        path = self._folder / "kubeconfig"
        path.write_text(server.kubeconfig(user, trusted=trusted))
        path.chmod(0o600)
        self._patch.setenv("KUBECONFIG", str(path))
        return server

    def said(self, *words: str) -> str:
        """The words of a command that must end with 1 and change nothing."""
        before = self.project.snapshot()
        words_said: str = self.project.cli(*words, code=1).stderr
        assert self.project.snapshot() == before
        assert "Traceback" not in words_said
        return words_said


@pytest.fixture
def world(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    monkeypatch.setenv("PATH", str(kube_tools.folder("new")), prepend=":")
    record(project, package_digest=project.record("champion")["package_digest"])
    with ExitStack() as stack:
        yield World(project, tmp_path, monkeypatch, stack)


@pytest.mark.parametrize("verb", [("deploy",), ("deploy", "--dry-run"), ("status",), ("logs",)])
def test_an_expired_token(verb: tuple[str, ...], world: World) -> None:
    server = world.refuse(401)
    said = world.said(*verb, "--env", "staging")
    assert "The cluster does not accept your credentials." in said
    assert "You must be logged in to the server" in said
    assert "log in again" in said
    assert server.asked
    assert all(line.startswith("GET ") for line in server.asked)


def test_a_token_that_expires_on_the_way(world: World) -> None:
    server = world.refuse(401, greets=True)
    said = world.said("deploy", "--env", "staging")
    assert "The cluster does not accept your credentials." in said
    assert "log in again" in said
    assert "GET /api/v1/namespaces/churn-staging" in server.asked
    assert all(line.startswith("GET ") for line in server.asked)


def test_no_rights_in_the_namespace(world: World) -> None:
    server = world.refuse(403, greets=True)
    said = world.said("deploy", "--env", "staging")
    assert "You have no right to do this in the cluster." in said
    assert "cannot list resource" in said
    assert "docs/how-it-works/kubernetes.md" in said
    # Not to see the namespace is no reason to stop; not to see helm's releases in it is one.
    assert "GET /api/v1/namespaces/churn-staging/secrets" in server.asked
    assert all(line.startswith("GET ") for line in server.asked)


def test_a_log_in_that_fails(world: World, tmp_path: Path) -> None:
    program = tmp_path / "aws"
    program.write_text(
        "#!/bin/sh\necho 'Error loading SSO Token: Token has expired' >&2\nexit 255\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    server = world.refuse(401, user=_exec(str(program)))
    said = world.said("deploy", "--env", "staging")
    assert "The cluster does not accept your credentials." in said
    assert "Error loading SSO Token: Token has expired" in said
    assert "aws sso login" in said
    assert server.asked == []


def test_a_log_in_program_that_is_not_there(world: World) -> None:
    world.refuse(401, user=_exec("no-such-auth-plugin"))
    said = world.said("deploy", "--env", "staging")
    assert "The program that logs in to the cluster is not installed." in said
    assert "no-such-auth-plugin" in said


def test_a_cluster_whose_certificate_nobody_vouches_for(world: World) -> None:
    server = world.refuse(401, trusted=False)
    said = world.said("deploy", "--env", "staging")
    assert "The cluster's certificate cannot be trusted." in said
    assert "x509: certificate signed by unknown authority" in said
    assert "update-kubeconfig" in said
    assert server.asked == []  # the token was shown to nobody


def _exec(program: str) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": program,
            "args": ["token"], "interactiveMode": "Never",
        }
    }  # fmt: skip
