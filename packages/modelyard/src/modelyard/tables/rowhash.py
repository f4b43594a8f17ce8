"""A hash of a row's content that never changes: not with the library, the machine or the row order.

The split hangs on it, so it is our own and written down here in full. A column's value becomes 64
bits (numbers by their float64 bits, moments by microseconds, texts by their UTF-8 bytes), is mixed
with a salt made of the column's name, and the columns are added up: their order does not matter.

The mixer is SplitMix64's finaliser (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators", section 5). tests/test_rowhash.py holds a plain-Python twin and frozen values: a
change that moves one of them would deal every user's rows anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

THREADS = 2
BLOCK = 1 << 17
"""Rows hashed at a time: the arrays of one block stay within a processor's cache."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MISSING = np.uint64(0x6D697373696E6721)
_BIG = np.uint64(0x626967696E746567)
_MOMENT = np.uint64(0x6D6F6D656E747573)
_TEXT = np.uint64(0x746578745F757466)
_EXACT = 2.0**53
_WORDS = 16
"""Texts of up to this many 8-byte words are hashed in numpy, longer ones one by one by BLAKE2b."""

_SAMPLE = 4096
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)


def row_keys(frame: pl.DataFrame, columns: Sequence[str]) -> Keys:
    """Hash the content of every row over `columns`, whose order does not matter.

    Equal numbers are equal whatever their type (1, 1.0; 0.0 and -0.0), all missing values (null,
    NaN) are one, a text that spells a number or a day (2024-01-31) as they are spelled here is that
    number or day, true and false are 1 and 0; as texts their case does not count.

    Returns:
        uint64, shape (rows,).
    """
    rows = frame.height
    keys = np.zeros(rows, dtype=np.uint64)
    picked = [(_salt(name), _plain(frame[name])) for name in columns]

    def work(start: int) -> None:
        total = keys[start : start + BLOCK]
        for salt, series in picked:
            part = _values(series.slice(start, BLOCK))
            part ^= salt
            total += mix(part)
        keys[start : start + BLOCK] = mix(total)

    if rows <= BLOCK:
        if rows:
            work(0)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(0, rows, BLOCK)))
    return keys


def mix(bits: Keys) -> Keys:
    """Scramble 64 bits into 64 bits, one to one (SplitMix64), in place; returns the same array."""
    spare = np.empty_like(bits)
    bits += _STEP
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        np.right_shift(bits, np.uint64(shift), out=spare)
        bits ^= spare
        bits *= factor
    np.right_shift(bits, np.uint64(31), out=spare)
    bits ^= spare
    return bits


def side_fraction(keys: Keys, seed: int) -> NDArray[np.float64]:
    """Turn keys into fractions in [0, 1), evenly spread, anew for each seed. Shape as `keys`."""
    salt = mix(np.array([seed % 2**64], dtype=np.uint64))
    mixed = mix(keys ^ salt)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _salt(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _plain(series: pl.Series) -> pl.Series:
    """One of the five types that are hashed: Boolean, Int64, Float64, Datetime("us"), String."""
    dtype = series.dtype
    if dtype in (pl.Boolean, pl.Int64, pl.Float64, pl.String) or dtype == pl.Datetime("us"):
        return series
    if dtype == pl.Null:
        return series.cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.cast(pl.Datetime("us"))
    if dtype == pl.Date:
        return series.cast(pl.Datetime("us"))
    if dtype in (pl.Time, pl.Duration):
        return series.to_physical().cast(pl.Int64)
    if dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128):
        return series.cast(pl.Int64)
    if dtype.is_float() or dtype.is_decimal():
        return series.cast(pl.Float64)
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype.is_integer():
        return series.cast(pl.String)
    if dtype == pl.Binary:
        return series.bin.encode("hex")
    texts = [None if value is None else repr(value) for value in series.to_list()]
    return pl.Series(series.name, texts, dtype=pl.String)


def _values(series: pl.Series) -> Keys:
    """One block of one column as 64 bits a value, before mixing."""
    if series.dtype == pl.String:
        bits = _texts(series)
    elif series.dtype == pl.Float64:
        bits = _floats(series.to_numpy())
    elif series.dtype == pl.Boolean:
        bits = _bits(series.fill_null(False).to_numpy().astype(np.float64))
    elif series.dtype == pl.Int64:
        bits = _wholes(series.fill_null(0).to_numpy())
    else:
        micros = series.to_physical().fill_null(0).to_numpy().astype(np.int64)
        bits = mix(micros.view(np.uint64)) ^ _MOMENT
    if series.null_count():
        bits[series.is_null().to_numpy()] = _MISSING
    return bits


def _bits(numbers: NDArray[np.float64]) -> Keys:
    # Adding zero makes -0.0 into 0.0 and copies, so that the caller's array is never written to.
    return (numbers + 0.0).view(np.uint64)


def _floats(numbers: NDArray[np.float64]) -> Keys:
    bits = _bits(numbers)
    gone = np.isnan(numbers)
    if gone.any():
        bits[gone] = _MISSING
    size = np.abs(numbers)
    big = (size > _EXACT) & (size < 2.0**63)
    if big.any():
        bits[big] = _large(numbers[big].astype(np.int64))
    return bits


def _wholes(numbers: NDArray[np.int64]) -> Keys:
    """Whole numbers as the float64 of the same value; above 2^53 that would lose digits."""
    bits = _bits(numbers.astype(np.float64))
    big = (numbers > int(_EXACT)) | (numbers < -int(_EXACT))
    if big.any():
        bits[big] = _large(numbers[big])
    return bits


def _large(numbers: NDArray[np.int64]) -> Keys:
    return mix(numbers.view(np.uint64).copy()) ^ _BIG


def _texts(series: pl.Series) -> Keys:
    """Hash texts; where few differ, each once."""
    some = series.head(_SAMPLE)
    if some.n_unique() * 4 > len(some):
        return _distinct_texts(series)
    spellings = series.unique()
    hashes = pl.Series(_distinct_texts(spellings))
    return series.replace_strict(spellings, hashes, return_dtype=pl.UInt64).to_numpy().copy()


def _distinct_texts(series: pl.Series) -> Keys:
    """Hash texts by their UTF-8 bytes, all of them 8 bytes at a time."""
    filled = _plain_truth(series.fill_null(""))
    content = np.frombuffer((filled.str.join("")[0] or "").encode() + bytes(8), dtype=np.uint8)
    sizes = filled.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    # Every 8 bytes from every position, without a copy: word i begins at byte i.
    words = np.ndarray(len(content) - 7, dtype="<u8", buffer=content, strides=(1,))
    bits = mix(sizes.astype(np.uint64) ^ _TEXT)
    live = np.flatnonzero((sizes > 0) & (sizes <= 8 * _WORDS))
    at, left, state = starts[live], sizes[live], bits[live]
    while len(live):
        state ^= words[at] & _MASKS[np.minimum(left, 8)]
        state = mix(state)
        bits[live] = state
        more = left > 8
        live, at, left, state = live[more], at[more] + 8, left[more] - 8, state[more]
    for row in np.flatnonzero(sizes > 8 * _WORDS).tolist():
        text = content[starts[row] : starts[row] + sizes[row]].tobytes()
        bits[row] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    # A column of numbers or days becomes one of texts the day that one cell holds another word.
    first = content[starts]
    signed = (first == ord("-")) | (first == ord("."))
    like = np.flatnonzero((signed | (first - ord("0") < 10)) & (sizes > 0))
    for read in _READINGS:
        if not len(like):
            break
        texts = filled.gather(like)
        found, same = read(texts)
        bits[like[same]] = found[same]
        like = like[~same]
    return bits


def _plain_truth(texts: pl.Series) -> pl.Series:
    """True and TRUE as true: a column of truth values alone has lost how it was written."""
    lowered = texts.filter(texts.str.len_bytes().is_in([4, 5])).str.to_lowercase()
    if not lowered.is_in(["true", "false"]).any():
        return texts
    small = texts.str.to_lowercase()
    return texts.zip_with(~small.is_in(["true", "false"]), small)


def _read_wholes(texts: pl.Series) -> tuple[Keys, NDArray[np.bool_]]:
    numbers = texts.cast(pl.Int64, strict=False)
    return _wholes(numbers.fill_null(0).to_numpy()), _spelled_so(numbers, texts)


def _read_decimals(texts: pl.Series) -> tuple[Keys, NDArray[np.bool_]]:
    numbers = texts.cast(pl.Float64, strict=False)
    return _floats(numbers.fill_null(0.0).to_numpy()), _spelled_so(numbers, texts)


def _read_days(texts: pl.Series) -> tuple[Keys, NDArray[np.bool_]]:
    days = texts.str.to_date("%Y-%m-%d", strict=False)
    micros = days.cast(pl.Datetime("us")).to_physical().fill_null(0).to_numpy().astype(np.int64)
    return mix(micros.view(np.uint64)) ^ _MOMENT, _spelled_so(days, texts)


def _spelled_so(values: pl.Series, texts: pl.Series) -> NDArray[np.bool_]:
    """Where a text is the value's own spelling: 0042 and 1.10 are texts, not 42 and 1.1."""
    same: NDArray[np.bool_] = (values.cast(pl.String) == texts).fill_null(False).to_numpy()
    return same


_READINGS = (_read_wholes, _read_decimals, _read_days)
