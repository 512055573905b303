"""Whole columns of a plain Parquet file, so that a test of real prices needs no library of its own.

Reads what Arrow writes by default: flat columns of INT64 and DOUBLE without nulls, plain or by dictionary, in pages of
the first version, bare or compressed by Snappy. Anything else is a ValueError that says what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"PAR1"
# Of the Parquet format: physical types, codecs, encodings and kinds of pages.
TYPES = {2: np.dtype("<i8"), 5: np.dtype("<f8")}
BARE, SNAPPY = 0, 1
PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY = 0, 2, 8
DATA_PAGE, DICTIONARY_PAGE = 0, 2


class Cursor:
    """A place in bytes, from which Thrift's compact protocol is read: structs as dicts by field id."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, n: int) -> bytes:
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def zigzag(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        last = 0
        while (header := self.take(1)[0]) != 0:
            last = last + (header >> 4) if header >> 4 else self.zigzag()
            # A boolean is in its header.
            fields[last] = header & 15 == 1 if header & 15 in (1, 2) else self.value(header & 15)
        return fields

    def value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self.take(1)[0]
            case 4 | 5 | 6:
                return self.zigzag()
            case 7:
                return self.take(8)
            case 8:
                return self.take(self.varint())
            case 9 | 10:
                header = self.take(1)[0]
                count = header >> 4 if header >> 4 < 15 else self.varint()
                return [self.value(header & 15) for _ in range(count)]
            case 12:
                return self.struct()
        raise ValueError(f"parquet: Thrift type {kind} is not read here")


def unsnap(data: bytes) -> bytes:
    """Decompress a block of Snappy: literals, and copies of what is already there."""
    cursor, out = Cursor(data), bytearray()
    size = cursor.varint()
    while len(out) < size:
        tag = cursor.take(1)[0]
        kind, length = tag & 3, (tag >> 2) + 1
        if kind == 0:
            if length > 60:
                length = int.from_bytes(cursor.take(length - 60), "little") + 1
            out += cursor.take(length)
            continue
        if kind == 1:
            length, back = ((tag >> 2) & 7) + 4, ((tag >> 5) << 8) | cursor.take(1)[0]
        else:
            back = int.from_bytes(cursor.take(2 if kind == 2 else 4), "little")
        for _ in range(length):
            # One by one: a copy may reach into itself.
            out.append(out[-back])
    return bytes(out)


def hybrid(cursor: Cursor, width: int, count: int) -> Any:
    """So many small numbers, in runs of one number and in packs of eight."""
    parts, found = [], 0
    while found < count:
        header = cursor.varint()
        if header & 1:
            bits = np.unpackbits(np.frombuffer(cursor.take((header >> 1) * width), np.uint8), bitorder="little")
            parts.append(bits.reshape(-1, width) @ (1 << np.arange(width)))
        else:
            parts.append(np.full(header >> 1, int.from_bytes(cursor.take((width + 7) // 8), "little")))
        found += len(parts[-1])
    return np.concatenate(parts)[:count]


def pages(data: bytes, chunk: dict[int, Any]) -> Iterator[Any]:
    """Values of the data pages of a column chunk."""
    kind, codec, size, left = chunk[1], chunk[4], chunk[7], chunk[5]
    if kind not in TYPES or codec not in (BARE, SNAPPY):
        raise ValueError(f"parquet: type {kind} with codec {codec} is not read here")
    cursor = Cursor(data, min(chunk[9], chunk.get(11, chunk[9])))
    end, dictionary = cursor.at + size, None
    while cursor.at < end and left:
        header = cursor.struct()
        raw = cursor.take(header[3])
        page = Cursor(unsnap(raw) if codec == SNAPPY else raw)
        if header[1] == DICTIONARY_PAGE:
            dictionary = np.frombuffer(page.data, TYPES[kind])
            continue
        if header[1] != DATA_PAGE:
            raise ValueError(f"parquet: pages of type {header[1]} are not read here")
        count, encoding = header[5][1], header[5][2]
        # Definition levels of a column that may have nulls: 1 where there is a value.
        levels = Cursor(page.take(int.from_bytes(page.take(4), "little")))
        if not np.all(hybrid(levels, 1, count) == 1):
            raise ValueError("parquet: nulls are not read here")
        left -= count
        if encoding == PLAIN:
            yield np.frombuffer(page.take(count * TYPES[kind].itemsize), TYPES[kind])
        elif encoding in (PLAIN_DICTIONARY, RLE_DICTIONARY) and dictionary is not None:
            yield dictionary[hybrid(page, page.take(1)[0], count)]
        else:
            raise ValueError(f"parquet: encoding {encoding} is not read here")


def read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Columns by name, arrays of float64 and int64; times are in the unit of the file."""
    data = path.read_bytes()
    if data[:4] != MAGIC or data[-4:] != MAGIC:
        raise ValueError(f"{path}: is no Parquet file")
    footer = Cursor(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little")).struct()
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for group in footer[4]:
        for chunk in (column[3] for column in group[1]):
            name = chunk[3][0].decode()
            if name in columns:
                columns[name] += pages(data, chunk)
    return {name: np.concatenate(parts) for name, parts in columns.items()}
