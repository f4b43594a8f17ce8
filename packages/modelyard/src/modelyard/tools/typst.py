"""Typst: one page of type from a template, data and pictures. Large, so imported on use."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import ToolFailed


def typeset(
    template: str, data: Mapping[str, Any], files: Mapping[str, bytes]
) -> tuple[bytes, int]:
    """Typeset a template.

    Args:
        template: Typst's source; it reads `data.json` and the files, and must hold a
            `#metadata(...) <pages>` with the number of pages.
        data: what becomes data.json. Text in it is text: it is never read as mark-up.
        files: name -> content, beside the template.

    Returns:
        The PDF, and its number of pages.

    Raises:
        ToolFailed: Typst is not installed, or refuses the template.
    """
    try:
        import typst
    except ImportError as error:
        raise ToolFailed(
            "Typst is not installed, so there is no PDF.",
            why=str(error),
            next_step="python -m pip install typst",
        ) from error
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        here = Path(folder)
        main = here / "main.typ"
        main.write_text(template, encoding="utf-8")
        (here / "data.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        for name, content in files.items():
            (here / name).write_bytes(content)
        try:
            pdf = typst.compile(str(main), root=folder)
            pages = json.loads(
                typst.query(str(main), "<pages>", field="value", one=True, root=folder)
            )
        except (RuntimeError, typst.TypstError) as error:
            raise ToolFailed(
                "Typst could not typeset the page.",
                why=str(error),
                next_step="modelyard -v summary",
            ) from error
    assert isinstance(pdf, bytes)
    return pdf, int(pages)
