"""Who may ask, and how often: API keys from a file, and a bucket of tokens for each caller."""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from modelyard_serve.errors import SettingsError, TooManyError, UnauthorizedError
from modelyard_serve.settings import Settings

OPEN = frozenset({"/ping", "/health", "/version", "/v2/health/live", "/v2/health/ready"})
"""Routes that need no key: probes have none."""
CHALLENGE = 'Basic realm="modelyard", charset="UTF-8", Bearer realm="modelyard"'
_CALLERS = 10_000


class Guard:
    """Checks a request's headers (as WSGI names them) before anything else is done with it."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _read_keys(settings.api_keys_file)
        self._rate = settings.rate_limit
        self._burst = max(1.0, settings.rate_limit)
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        self.active = bool(self._keys) or self._rate > 0
        self.secured = bool(self._keys)

    def check(self, environ: Mapping[str, str], path: str) -> None:
        """Let the request pass, or raise UnauthorizedError or TooManyError."""
        if path in OPEN:
            return
        caller = str(environ.get("REMOTE_ADDR", ""))
        if self._keys:
            caller = self._caller(environ, caller)
        self._count(caller)

    def _count(self, caller: str) -> None:
        """Take one request from the caller's bucket. Raises TooManyError where it is empty."""
        if self._rate > 0:
            with self._lock:  # a worker's threads share the buckets
                self._spend(caller)

    def _caller(self, environ: Mapping[str, str], address: str) -> str:
        """The digest of the key that was sent. Each known key is compared in constant time.

        A wrong key counts for the address: the bucket of a good key stays full. A request without
        one guesses nothing, and a browser asks for the key only where it is answered 401.
        """
        key = _sent(environ)
        if key is None:
            raise UnauthorizedError(
                "send the key as X-API-Key, as Authorization: Bearer, or as a Basic password"
            )
        digest = sha256(key.encode("utf-8", "surrogateescape")).digest()
        known = False
        for other in self._keys:
            known |= hmac.compare_digest(digest, other)
        if not known:
            self._count(address)
            raise UnauthorizedError("the key that was sent is none of this server's")
        return digest.hex()

    def _spend(self, caller: str) -> None:
        now = time.monotonic()
        tokens, then = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        if tokens < 1:
            raise TooManyError(f"more than {self._rate:g} requests a second: wait and send again")
        if len(self._buckets) >= _CALLERS and caller not in self._buckets:
            full = [c for c, (t, at) in self._buckets.items() if t + (now - at) * self._rate >= 1]
            for known in full or list(self._buckets):
                del self._buckets[known]
        self._buckets[caller] = (tokens - 1, now)


def _read_keys(path: str) -> tuple[bytes, ...]:
    """The digests of a file's keys, one a line; empty lines and lines of `#` do not count."""
    if not path:
        return ()
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file of API keys cannot be read: {error}") from error
    keys = [key for line in lines if (key := line.strip()) and not key.startswith("#")]
    if not keys:
        raise SettingsError(f"{path} holds no API key: write one a line")
    # Headers carry ASCII: another key could be given as a Basic password alone.
    if not all(key.isascii() and key.isprintable() for key in keys):
        raise SettingsError(f"{path}: an API key is made of printable ASCII characters")
    return tuple(sha256(key.encode()).digest() for key in keys)


def _sent(environ: Mapping[str, str]) -> str | None:
    """The key of a request's headers."""
    if key := environ.get("HTTP_X_API_KEY"):
        return key
    scheme, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return pair.partition(":")[2] or None
    return None
