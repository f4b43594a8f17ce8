"""The champion's record and the audit: both branches' releases stay told, the later one stands.

The two files are merged by one rule, the moment of the release, so that the audit's last line is
always the champion. Where both branches have released, neither model was judged against the other:
that is a conflict, and the next run's gate settles it.
"""

from __future__ import annotations

import msgspec

from modelyard.merging.outcome import AGAIN, Outcome
from modelyard.records import AuditLine, ChampionRecord


def merge(base: bytes, ours: bytes, theirs: bytes, path: str) -> Outcome:
    """Merge three versions of records/champion.json or records/audit.jsonl."""
    try:
        if path.endswith(".jsonl"):
            return _audit(base, ours, theirs)
        return _champion(base, ours, theirs, path)
    except msgspec.DecodeError as error:
        return Outcome(
            ours,
            True,
            f"{path} cannot be read ({error}); it is ours now. Next: compare with "
            f"git show MERGE_HEAD:{path}",
        )


def _champion(base: bytes, ours: bytes, theirs: bytes, path: str) -> Outcome:
    if theirs in (base, ours):
        return Outcome(ours)
    if ours == base:
        return Outcome(theirs)
    one, other = (msgspec.json.decode(text, type=ChampionRecord) for text in (ours, theirs))
    if one.package_digest == other.package_digest:
        return Outcome(min(ours, theirs, key=lambda text: _since(text)))
    content = max((ours, theirs), key=_since)
    stands = one if content is ours else other
    return Outcome(
        content,
        True,
        f"{path}: both sides have released a model (v{one.version} at {one.since}, "
        f"v{other.version} at {other.since}); the later one, v{stands.version}, stands until the "
        "gate has judged the "
        f"merged project's model against it. Next: {AGAIN}",
    )


def _since(content: bytes) -> str:
    return msgspec.json.decode(content, type=ChampionRecord).since


def _audit(base: bytes, ours: bytes, theirs: bytes) -> Outcome:
    """Every line of both sides once, by the moment of its move; what both had first stays first."""
    lines: dict[bytes, str] = {}
    for text in (base, ours, theirs):
        for line in text.splitlines():
            if line.strip():
                lines.setdefault(line, msgspec.json.decode(line, type=AuditLine).when)
    ordered = sorted(lines, key=lambda line: lines[line])
    return Outcome(b"".join(line + b"\n" for line in ordered))
