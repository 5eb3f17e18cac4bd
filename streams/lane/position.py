"""Where a lane stands: the offsets it has passed, the sequences it has heard and those it has told.

One row of the state, written in every checkpoint, so that state, offsets and sequences can never disagree.
Pure; used by `streams.lane.lane`, proven by `tests/unit/streams/lane/test_position.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from schemas.errors import Halt
from schemas.sequence import Sequence

KEY = b"\0position"
VERSION = 1


class SequenceGap(Halt):
    """A writer's records are missing before this one. Applying it would build on a hole."""


class BadPosition(Halt):
    """The position row cannot be read: it is from a newer version, or damaged."""


@dataclass(slots=True)
class Position:
    """The position row of one partition.

    next: source topic -> the offset after the last one passed.
    heard: (source topic, writer) -> (incarnation, last seq).
    told: (topic, partition) -> last seq given to a sequenced send.
    empty: source topic -> an offset below which nothing was left to be read once: what lay between was markers and
        aborted records. So retention may take them before `next` can pass them.
    """

    next: dict[str, int] = field(default_factory=dict)
    heard: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    told: dict[tuple[str, int], int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)

    def floor(self, topic: str) -> int:
        """The offset below which no record of a source is still to be read."""
        return max(self.next.get(topic, 0), self.empty.get(topic, 0))

    def hear(self, topic: str, offset: int, sequence: Sequence) -> bool:
        """Take note of a sequenced record; False for a repeat, which must be dropped.

        Raises SequenceGap: a seq is missing, or a new incarnation does not begin at 1.
        """
        key = (topic, sequence.writer)
        incarnation, last = self.heard.get(key, (sequence.incarnation, 0))
        if sequence.incarnation != incarnation:
            last = 0
        elif sequence.seq <= last:
            return False
        if sequence.seq != last + 1:
            raise SequenceGap(
                f"{topic} offset {offset}: writer {sequence.writer!r} incarnation {sequence.incarnation} sent seq "
                f"{sequence.seq} where {last + 1} is due; records between are lost or were skipped"
            )
        self.heard[key] = (sequence.incarnation, sequence.seq)
        return True

    def tell(self, topic: str, partition: int) -> int:
        """The seq of the next sequenced send to a partition."""
        seq = self.told.get((topic, partition), 0) + 1
        self.told[topic, partition] = seq
        return seq

    def encode(self) -> bytes:
        return json.dumps(
            {
                "v": VERSION,
                "next": self.next,
                "in": [[topic, writer, inc, seq] for (topic, writer), (inc, seq) in self.heard.items()],
                "out": [[topic, partition, seq] for (topic, partition), seq in self.told.items()],
                "empty": self.empty,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, row: bytes | None) -> Position:
        """Read the row; an absent one is the beginning. Raises BadPosition."""
        if row is None:
            return cls()
        try:
            raw = json.loads(row)
            version = raw["v"]
            if version != VERSION:
                raise BadPosition(
                    f"position row has version {version}, this code reads {VERSION}: run the newer release"
                )
            return cls(
                next={str(topic): int(offset) for topic, offset in raw["next"].items()},
                heard={(topic, writer): (inc, seq) for topic, writer, inc, seq in raw["in"]},
                told={(topic, partition): seq for topic, partition, seq in raw["out"]},
                empty={str(topic): int(offset) for topic, offset in raw.get("empty", {}).items()},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadPosition(
                "position row cannot be read: the changelog was written by others, or is damaged"
            ) from error
