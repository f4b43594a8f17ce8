"""What a text table's bytes tell of themselves: encoding, delimiter, header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter

from modelyard.errors import DataInvalid, UsageError

SAMPLE = 1 << 20
"""Bytes that are looked at before a file is read."""

DELIMITERS = (",", ";", "\t", "|")
_RECORDS = 200
_BOMS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it, or use gzip"),
    (b"BZh", "compressed with bzip2", "decompress it, or use gzip"),
    (b"\xfd7zXZ", "compressed with xz", "decompress it, or use gzip"),
)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13})
# charset-normalizer is asked among these only: with all of its hundred, a few accented letters
# are enough to make it prefer a rare code page.
_CANDIDATES = (
    "cp1252", "latin_1", "iso8859_15", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255",
    "cp1256", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "mac_roman", "cp850", "cp437",
)  # fmt: skip


def refuse_binary(sample: bytes, name: str) -> None:
    """Refuse what is no text at all, with a word on what it seems to be. Raises DataInvalid."""
    for magic, what, mend in _MAGIC:
        if sample.startswith(magic):
            raise DataInvalid(
                f"{name} is {what}, not a CSV, TSV or Parquet table.",
                why="Its first bytes say so.",
                next_step=mend,
            )
    if sample.startswith(tuple(bom for bom, _ in _BOMS)) or _wide(sample):
        return
    odd = len(sample) - len(sample.translate(None, _CONTROL))
    if b"\0" in sample or odd > 0.02 * len(sample):
        raise DataInvalid(
            f"{name} is not a text table.",
            why=f"{odd} of its first {len(sample)} bytes are control characters, as in a binary.",
            next_step="give a CSV, TSV or Parquet file, plain or gzip",
        )


def encoding_of(sample: bytes, wanted: str, name: str) -> str:
    """Name the encoding of a sample: the wanted one, the BOM's, UTF-8, else the likeliest.

    Raises:
        UsageError: `wanted` is no encoding that Python knows.
        DataInvalid: no encoding can be told.
    """
    if wanted != "auto":
        try:
            return codecs.lookup(wanted).name
        except LookupError as error:
            raise UsageError(
                f"data.encoding {wanted!r} is not an encoding.",
                why="Python knows none of that name.",
                next_step="use auto, utf-8, cp1252, latin-1, utf-16, shift_jis, …",
            ) from error
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding
    if wide := _wide(sample):
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return likeliest(sample, name)
    return "utf-8"


def likeliest(content: bytes, name: str) -> str:
    """Guess a non-UTF-8 encoding from the lines that hold other than ASCII. Raises DataInvalid."""
    from charset_normalizer import from_bytes  # 0.1 s, and most tables are UTF-8

    telling = re.findall(rb"[^\n]*[\x80-\xff][^\n]*", content)
    sample = b"\n".join(telling)[:65_536] or content[:65_536]
    found = from_bytes(sample, cp_isolation=list(_CANDIDATES), threshold=0.3)
    best = found.best()
    if best is None:
        raise DataInvalid(
            f"The text encoding of {name} cannot be told.",
            why="It is not UTF-8, and no other encoding gives readable text.",
            next_step="set data.encoding in modelyard.yaml, such as cp1252, or save it as UTF-8",
        )
    # Western code pages tie on short texts; Windows' is the one that such files are written in.
    ties = {
        encoding
        for match in found
        if match.chaos <= best.chaos + 1e-9
        for encoding in match.could_be_from_charset
    }
    if "cp1252" not in ties:
        return str(best.encoding)
    central = "cp1250" in ties and _signs(sample, "cp1250") < _signs(sample, "cp1252")
    return "cp1250" if central else "cp1252"


def delimiter_of(text: str, wanted: str) -> str:
    """Name the delimiter: the wanted one, else the one that most records agree with the header on.

    Raises:
        UsageError: `wanted` is not one character.
    """
    if wanted != "auto":
        chosen = {"tab": "\t", "\\t": "\t"}.get(wanted, wanted)
        if len(chosen) != 1 or chosen in '"\r\n' or ord(chosen) > 127:
            raise UsageError(
                f"data.delimiter {wanted!r} is not one plain character.",
                why="Fields are told apart by a single ASCII character that is no quote.",
                next_step="use auto, ',', ';', '|' or tab",
            )
        return chosen
    best = (0.0, 1, ",")
    for delimiter in DELIMITERS:
        widths = [len(record) for record in records(text, delimiter, _RECORDS) if record]
        if not widths or widths[0] < 2:
            continue
        share = Counter(widths)[widths[0]] / len(widths)
        best = max(best, (share, widths[0], delimiter), key=lambda entry: entry[:2])
    return best[2]


def records(text: str, delimiter: str, limit: int) -> list[list[str]]:
    """The first records of a text, at most `limit`; the last one may be cut and is left out."""
    found: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            found.append(record)
            if len(found) > limit:
                break
    except csv.Error:
        pass
    return found[:-1] if len(found) > limit or len(text) >= SAMPLE // 4 else found


def _signs(sample: bytes, encoding: str) -> int:
    """Signs beyond ASCII that are no letters: Polish read as Western has £ and ³ in its words."""
    text = sample.decode(encoding, errors="replace")
    return sum(not letter.isalnum() for letter in text if ord(letter) > 127)


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a BOM: every other byte of Western text is zero."""
    half = max(1, len(sample) // 2)
    low, high = sample[1::2].count(0), sample[0::2].count(0)
    if low > 0.4 * half and high < 0.1 * half:
        return "utf-16-le"
    if high > 0.4 * half and low < 0.1 * half:
        return "utf-16-be"
    return None
