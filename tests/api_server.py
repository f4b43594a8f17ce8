"""A server on this machine that answers as a Kubernetes API server does that refuses.

It speaks TLS with a certificate made on the spot, lets everybody see its version and what groups it
has, as Kubernetes does for whoever is logged in, and answers the rest with a Status of 401 or 403.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

OPEN = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.1"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": name, "singularName": "", "kind": kind, "namespaced": name == "secrets",
             "verbs": ["get", "list"]}
            for name, kind in (("namespaces", "Namespace"), ("secrets", "Secret"))
        ],
    },
}  # fmt: skip


@dataclass
class Refusing:
    """Where it listens, the certificate to trust, and every request that it got."""

    url: str
    authority: Path
    asked: list[str] = field(default_factory=list)

    def kubeconfig(self, user: dict[str, Any], *, trusted: bool = True) -> str:
        """A kubeconfig that leads here."""
        cluster: dict[str, str] = {"server": self.url}
        if trusted:
            cluster["certificate-authority"] = str(self.authority)
        return json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "refusing",
                "clusters": [{"name": "c", "cluster": cluster}],
                "contexts": [{"name": "refusing", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": user}],
            }
        )  # fmt: skip


@contextmanager
def refusing(folder: Path, code: int, *, greets: bool) -> Iterator[Refusing]:
    """Serve until the block ends; `greets`: the open addresses are answered."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=refusing", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    said = Refusing("", certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            said.asked.append(f"{self.command} {path}")
            open_to_all = greets and path in OPEN
            body = json.dumps(OPEN[path] if open_to_all else _status(code, path)).encode()
            self.send_response(200 if open_to_all else code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        # The names are those of http.server.
        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            """The test has `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    said.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        server.shutdown()
        server.server_close()


def _status(code: int, path: str) -> dict[str, Any]:
    kind = path.rstrip("/").split("/")[-1]
    reasons = {
        401: ("Unauthorized", "Unauthorized"),
        403: ("Forbidden", f'{kind} is forbidden: User "ada" cannot list resource "{kind}"'),
    }
    reason, message = reasons[code]
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    }  # fmt: skip
