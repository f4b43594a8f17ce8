"""How a run ends while its libraries are still being imported in the background."""

from __future__ import annotations

import threading
import time

import pytest

from modelyard import line


def test_a_stopped_run_waits_for_its_imports_but_not_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = threading.Event()
    imports = threading.Thread(target=free.wait, args=(20,), name=line.IMPORTS, daemon=True)
    imports.start()
    threading.Timer(0.2, free.set).start()
    with pytest.raises(KeyboardInterrupt), line._outliving_imports():
        raise KeyboardInterrupt
    assert not imports.is_alive()

    monkeypatch.setattr(line, "ENDING", 0.05)
    never = threading.Event()
    stuck = threading.Thread(target=never.wait, args=(20,), name=line.IMPORTS, daemon=True)
    stuck.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), line._outliving_imports():
        raise KeyboardInterrupt
    assert time.monotonic() - began < 10
    assert stuck.is_alive()
    never.set()
