"""Columns as bytes and back: the body of one segment, or of a pack.

One zstd frame over a fixed layout; the same columns make the same bytes. UUIDs and numbers are laid out by byte
planes (all first bytes, then all second bytes), because what repeats in them repeats by place. Used by
`schemas.frames` and by the ledger when it merges; `tests/unit/schemas/test_bodies.py` says what it promises.

    version u8 · flags u8 (1 subjects, 2 parents, 4 targets) · rows u32
    then ids · clocks · [subjects] · [parents as ids] · [targets]
    ids       all-UUID u8 · [UUID bits · length u16 a text row · texts] · UUID planes
    clocks    zigzag differences, u32 planes
    subjects  one-each u8 · [count u16 a row] · references u32 · dictionary u32 · [codes] · hashes
    targets   names u16 · length u16 each · texts · code u16 a row

Several bodies can stand for one: a zero byte, which begins no zstd frame, their number and lengths as u32, and they.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.columns import MAX_ID_BYTES, Columns, Ids, Subjects
from schemas.errors import Reject
from schemas.planes import from_planes, planes, undo_differences, values_of, zigzag_differences
from schemas.ragged import Bytes, Rows, Words, starts_of

VERSION = 1
LEVEL = 1
"""zstd's level: what is left to compress is small, and more effort does not find it."""
BRIEF_LEVEL = -1
"""Of what is soon dropped: a fifth of the time, and ids do not shrink at any level."""
MAX_BODY_BYTES = 64 << 20
"""Of one body when unpacked."""
MAX_ROWS = 4 << 20

SUBJECTS, _PARENTS, _TARGETS = 1, 2, 4
FEW = 256
"""So many values are quicker one by one than sorted."""
_HEAD = struct.Struct("<BBI")
_REFERENCES = struct.Struct("<II")
_SEVERAL = b"\0"
_MOST_BODIES = 1 << 12
_own = threading.local()


@dataclass(eq=False)
class BadBody(Reject):
    """Bytes that are no body of ours: damaged, of another version, or beyond its caps."""

    what: str

    def __str__(self) -> str:
        return f"not a body of frame columns: {self.what}; the entry was damaged, or written by another version"


def compress(data: bytes, *, level: int = LEVEL) -> bytes:
    """Return `data` as one zstd frame that names its size."""
    compressors: dict[int, zstandard.ZstdCompressor] = _own.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=True)
    packed: bytes = compressors[level].compress(data)
    return packed


def decompress(body: bytes | memoryview) -> bytes:
    """Return what one zstd frame holds, at most `MAX_BODY_BYTES`. Raises BadBody."""
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= MAX_BODY_BYTES:
            raise BadBody(f"it claims {size} bytes, allowed are {MAX_BODY_BYTES}")
        data: bytes = _decompressor().decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as e:
        raise BadBody(f"zstd says {e}") from None
    return data


def has_parents(body: bytes) -> bool:
    """Tell whether a body has a column of parents, reading no more than its first block. Raises BadBody."""
    try:
        head: bytes = _decompressor().stream_reader(body).read(2)
    except zstandard.ZstdError as e:
        raise BadBody(f"zstd says {e}") from None
    if len(head) < 2:
        raise BadBody("it ends within its head")
    return bool(head[1] & _PARENTS)


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's own: to make one costs six times what a small body does."""
    if not hasattr(_own, "decompressor"):
        _own.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _own.decompressor
    return found


class Reader:
    """Reads a fixed layout from bytes; every claim is checked against what is left. Raises BadBody."""

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._raw = data
        self._data = np.frombuffer(data, np.uint8)
        self._at = at

    @property
    def at(self) -> int:
        """Where it reads next."""
        return self._at

    def take(self, size: int) -> Bytes:
        at = self.pass_over(size)
        return self._data[at : at + size]

    def pass_over(self, size: int) -> int:
        """Go on behind the next `size` bytes; return where they are."""
        at, left = self._at, len(self._raw) - self._at
        if size > left:
            raise BadBody(f"{size} bytes are named at {at}, {left} are left")
        self._at = at + size
        return at

    def array(self, n: int, dtype: str) -> NDArray[Any]:
        return self.take(n * np.dtype(dtype).itemsize).view(dtype)

    def number(self, width: int) -> int:
        """Read an unsigned number of `width` bytes."""
        at = self.pass_over(width)
        return int.from_bytes(self._raw[at : at + width], "little")

    def count(self, width: int, most: int = MAX_ROWS) -> int:
        return _allowed(self.number(width), most)

    def fields(self, form: struct.Struct) -> tuple[int, ...]:
        """Read several numbers at once."""
        return form.unpack_from(self._raw, self.pass_over(form.size))

    def planes(self, n: int, width: int) -> NDArray[Any]:
        return from_planes(self.take(n * width), n, width)

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at).tobytes()

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadBody(f"{len(self._data) - self._at} bytes follow its end")


def _allowed(n: int, most: int = MAX_ROWS) -> int:
    if n > most:
        raise BadBody(f"it claims {n} entries, allowed are {most}")
    return n


def encode_columns(columns: Columns, *, brief: bool = False) -> bytes:
    """Return `columns` as one body. A column that says nothing is left out.

    A `brief` one is soon dropped: it is made in less time, and larger where references repeat.
    """
    columns = columns.lean()
    n = len(columns)
    flags = (
        SUBJECTS * (columns.subjects is not None)
        | _PARENTS * (columns.parents is not None)
        | _TARGETS * (columns.targets is not None)
    )
    parts = [bytes((VERSION, flags)), n.to_bytes(4, "little")]
    _write_ids(parts, columns.ids)
    parts.append(planes(zigzag_differences(columns.clocks), 4))
    if columns.subjects is not None:
        _write_subjects(parts, columns.subjects, brief=brief)
    if columns.parents is not None:
        _write_ids(parts, columns.parents)
    if columns.targets is not None:
        _write_targets(parts, columns.targets)
    return compress(b"".join(parts), level=BRIEF_LEVEL if brief else LEVEL)


def several(bodies: Sequence[bytes | memoryview]) -> bytes:
    """Return a body with the rows of `bodies`, one after the other, which are not read. For `decode_columns` alone."""
    if len(bodies) == 1:
        return bytes(bodies[0])
    assert len(bodies) <= _MOST_BODIES
    return b"".join((_SEVERAL, *(size.to_bytes(4, "little") for size in (len(bodies), *map(len, bodies))), *bodies))


def _each_of(body: bytes | memoryview) -> list[bytes]:
    """Return what `several` was given."""
    reader = Reader(body, len(_SEVERAL))
    sizes = [reader.number(4) for _ in range(reader.count(4, _MOST_BODIES))]
    found = [reader.take(size).tobytes() for size in sizes]
    reader.end()
    return found


def decode_columns(body: bytes | memoryview) -> Columns:
    """Return the columns of one body, or of several as one. Raises BadBody."""
    if body[:1] == _SEVERAL:
        return Columns.concat([read_columns(decompress(part)) for part in _each_of(body)])
    return read_columns(decompress(body))


def read_columns(data: bytes) -> Columns:
    """Return the columns of one body that is decompressed already. Raises BadBody."""
    reader = Reader(data)
    flags, n = _read_head(reader)
    columns = Columns(
        ids=_read_ids(reader, n),
        clocks=undo_differences(reader.planes(n, 4)),
        subjects=_read_subjects(reader, n) if flags & SUBJECTS else None,
        parents=_read_ids(reader, n) if flags & _PARENTS else None,
        targets=_read_targets(reader, n) if flags & _TARGETS else None,
    )
    reader.end()
    return columns


class Body:
    """One decompressed body: its references, and what else is asked for. Raises BadBody, as all its methods do.

    A search asks most bodies for nothing but their references: ids, most of the bytes, are passed over.
    """

    __slots__ = (
        "_clocks",
        "_data",
        "_folded",
        "_ids_at",
        "_own_each",
        "_plain",
        "_rows",
        "_subjects",
        "_subjects_at",
        "references",
    )

    def __init__(self, data: bytes) -> None:
        reader = Reader(data)
        flags, n = _read_head(reader)
        self._data, self._rows, self._ids_at = data, n, reader.at
        uuids = reader.number(1) == 1
        self._plain = uuids and not flags & (_PARENTS | _TARGETS)
        if uuids:
            reader.pass_over(16 * n)
        else:
            among = int(np.unpackbits(reader.take((n + 7) // 8), bitorder="little")[:n].sum())
            reader.pass_over(int(reader.planes(n - among, 2).sum()) + 16 * among)
        self._folded = reader.take(4 * n)
        self._clocks: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._subjects: Subjects | None = None
        self._subjects_at = reader.at if flags & SUBJECTS else None
        self.references: Words = np.zeros(0, np.uint64)
        """Of all rows, in no order of theirs."""
        self._own_each = False  # whether reference i is row i's, and its only one
        if flags & SUBJECTS:
            self.references, self._own_each = _pass_subjects(reader, n)
        if not flags & (_PARENTS | _TARGETS):
            reader.end()

    def __len__(self) -> int:
        return self._rows

    @property
    def clocks(self) -> NDArray[np.uint32]:
        """All clocks."""
        return self._clocks_to(self._rows)

    def clocks_of(self, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        """The clocks of the rows at the ordinals `rows`: none behind the last of them is worked out."""
        return self._clocks_to(int(rows.max(initial=-1)) + 1)[rows]

    def _clocks_to(self, count: int) -> NDArray[np.uint32]:
        """At least the first `count` clocks."""
        if len(self._clocks) < count:
            folded = self._folded.reshape(4, self._rows)[:, :count]
            self._clocks = undo_differences(from_planes(folded, count, 4))
        return self._clocks

    @property
    def subjects(self) -> Subjects | None:
        """The references row by row, None where there is no such column."""
        if self._subjects is None and self._subjects_at is not None:
            self._subjects = _read_subjects(Reader(self._data, self._subjects_at), self._rows)
        return self._subjects

    def met(self, hit: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the ordinals of the rows that have one of the references at the ordinals `hit`, which rise."""
        subjects = None if self._own_each else self.subjects
        if subjects is None:
            return hit
        mask = np.zeros(len(self.references), np.bool_)
        mask[hit] = True
        return np.flatnonzero(subjects.met(mask[subjects.codes]))

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Return the rows at the ordinals `rows`, in that order; of UUIDs no others are read."""
        if not self._plain:
            return read_columns(self._data).take(rows)
        reader = Reader(self._data, self._ids_at + 1)
        uuids = reader.take(16 * self._rows).reshape(16, self._rows)[:, rows]
        return Columns(
            ids=Ids(np.ones(len(rows), np.bool_), np.full(len(rows), 16, np.int64), uuids.T.reshape(-1)),
            clocks=self.clocks_of(rows),
            subjects=self._subjects_of(rows),
        )

    def _subjects_of(self, rows: NDArray[np.intp]) -> Subjects | None:
        if self._own_each:
            return Subjects.of(np.ones(len(rows), np.int64), self.references[rows])
        return None if self.subjects is None else self.subjects.take(rows)


def _read_head(reader: Reader) -> tuple[int, int]:
    """Return a body's flags and its number of rows."""
    version, flags, n = reader.fields(_HEAD)
    if version != VERSION:
        raise BadBody(f"its version is {version}, known is {VERSION}")
    return flags, _allowed(n)


def _write_ids(parts: list[bytes], ids: Ids) -> None:
    if ids.all_uuid():
        parts += [b"\1", ids.data.reshape(-1, 16).T.tobytes()]
        return
    parts += [b"\0", np.packbits(ids.is_uuid, bitorder="little").tobytes()]
    parts.append(planes(ids.lengths[~ids.is_uuid], 2))
    in_uuid = np.repeat(ids.is_uuid, ids.lengths)
    parts.append(ids.data[~in_uuid].tobytes())
    parts.append(ids.data[in_uuid].reshape(-1, 16).T.tobytes())


def _read_ids(reader: Reader, n: int) -> Ids:
    if reader.number(1) == 1:
        data = values_of(reader.take(16 * n), n, 16).reshape(-1)
        return Ids(np.ones(n, np.bool_), np.full(n, 16, np.int64), data)
    is_uuid = np.unpackbits(reader.take((n + 7) // 8), bitorder="little")[:n].astype(np.bool_)
    uuids = int(is_uuid.sum())
    lengths = np.full(n, 16, np.int64)
    lengths[~is_uuid] = reader.planes(n - uuids, 2)
    if n and int(lengths.max()) > MAX_ID_BYTES:
        raise BadBody(f"an id has {int(lengths.max())} bytes, allowed are {MAX_ID_BYTES}")
    texts = reader.take(int(lengths[~is_uuid].sum()))
    in_uuid = np.repeat(is_uuid, lengths)
    data = np.empty(len(in_uuid), np.uint8)
    _check_text(texts, lengths[~is_uuid])
    data[~in_uuid] = texts
    data[in_uuid] = values_of(reader.take(16 * uuids), uuids, 16).reshape(-1)
    return Ids(is_uuid, lengths, data)


def _check_text(texts: Bytes, lengths: Rows) -> None:
    """Refuse what is not UTF-8 row by row: a text that starts within a character belongs to none."""
    if len(texts) == 0 or int(texts.max()) < 128:
        return
    first = texts[starts_of(lengths)[lengths > 0]]
    try:
        texts.tobytes().decode()
    except UnicodeDecodeError:
        raise BadBody("an id is not UTF-8") from None
    if bool(((first & 0xC0) == 0x80).any()):
        raise BadBody("an id starts within a character")


def _write_subjects(parts: list[bytes], subjects: Subjects, *, brief: bool) -> None:
    refs = subjects.refs()
    one_each = bool((subjects.counts == 1).all())
    parts.append(bytes((one_each,)))
    if not one_each:
        parts.append(planes(subjects.counts, 2))
    hashes, codes = (refs, None) if brief else dictionary_of(refs)
    parts += [len(refs).to_bytes(4, "little"), len(hashes).to_bytes(4, "little")]
    if codes is not None and len(hashes) < len(refs):
        parts.append(planes(codes, code_width(len(hashes))))
    parts.append(hashes.astype("<u8").tobytes())


def dictionary_of(refs: Words) -> tuple[Words, NDArray[Any]]:
    """Return the distinct references in order of first use, and each reference's place among them."""
    if len(refs) <= FEW:
        places: dict[int, int] = {}
        few = [places.setdefault(ref, len(places)) for ref in refs.tolist()]
        return np.fromiter(places, np.uint64, len(places)), np.array(few, np.int64)
    rows, codes = numbered(first_alike(refs))
    return refs[rows], codes


def code_width(entries: int) -> int:
    return 1 if entries <= 1 << 8 else 2 if entries <= 1 << 16 else 4


def _read_subjects(reader: Reader, n: int) -> Subjects:
    one_each = reader.number(1)
    counts = np.ones(n, np.int64) if one_each else reader.planes(n, 2).astype(np.int64)
    total, entries = _numbers_of_references(reader, int(counts.sum()))
    if entries == total:
        return Subjects.of(counts, reader.array(total, "<u8"))
    codes = reader.planes(total, code_width(entries)).astype(np.int64)
    if int(codes.max(initial=0)) >= entries:
        raise BadBody("a subject code lies beyond the dictionary")
    return Subjects(counts, codes, reader.array(entries, "<u8"))


def _pass_subjects(reader: Reader, n: int) -> tuple[Words, bool]:
    """Return the references of n rows, and whether each is the row's own: numbers are checked, codes not looked at."""
    counts = None if reader.number(1) else reader.take(2 * n)
    named = n if counts is None else int(counts[:n].sum()) + 256 * int(counts[n:].sum())
    total, entries = _numbers_of_references(reader, named)
    if entries < total:
        reader.pass_over(total * code_width(entries))
    return reader.array(entries, "<u8"), counts is None and entries == total


def _numbers_of_references(reader: Reader, named: int) -> tuple[int, int]:
    """Return how many references there are and how many hashes they are of, `named` by the rows' counts."""
    total, entries = map(_allowed, reader.fields(_REFERENCES))
    if total != named or entries > total:
        raise BadBody(f"its rows count {named} subject references, it names {total} by {entries} hashes")
    return total, entries


def _write_targets(parts: list[bytes], targets: tuple[str, ...]) -> None:
    names = list(dict.fromkeys(targets))
    places = {name: i for i, name in enumerate(names)}
    raw = [name.encode() for name in names]
    parts += [np.uint16(len(names)).tobytes(), np.array([len(r) for r in raw], "<u2").tobytes(), *raw]
    parts.append(planes(np.fromiter((places[t] for t in targets), np.int64, len(targets)), 2))


def _read_targets(reader: Reader, n: int) -> tuple[str, ...]:
    lengths = reader.array(reader.number(2), "<u2").astype(np.int64)
    try:
        names = [reader.take(int(length)).tobytes().decode() for length in lengths]
    except UnicodeDecodeError:
        raise BadBody("a target's name is not UTF-8") from None
    codes = reader.planes(n, 2)
    if n and int(codes.max()) >= len(names):
        raise BadBody("a target code lies beyond its names")
    return tuple(names[c] for c in codes.tolist())
