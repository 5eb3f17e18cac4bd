"""Makes the read model again from the topics: `ebbtide rebuild`.

In one transaction, so that readers see the old rows until the new ones are whole; a projector that runs waits for it
and goes on behind it. `tests/integration/api/test_projector.py` says what is promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from confluent_kafka.admin import AdminClient

from ebbtide.wire import Codec
from ops.reading import TopicUnreadable, read_to_end
from schemas.topics import Topics
from streams.projector.fold import Folder, Unreadable
from streams.projector.rows import Change
from streams.projector.store import Place, read_model

_BATCH = 1000


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild came to. `unreadable` were dead-lettered when they came, and are left out again."""

    records: int = 0
    unreadable: int = 0
    ends: dict[Place, int] = field(default_factory=dict)


def rebuild(bootstrap: str, topics: Topics, codec: Codec, dsn: str) -> Rebuilt:
    """Make every table again. Raises StoreAway, NoTables, TopicUnreadable: nothing was changed."""
    metadata = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30)
    folder = Folder(topics, codec)
    result = Rebuilt()
    for topic in folder.names():
        found = metadata.topics.get(topic)
        if found is None or found.error is not None:
            raise TopicUnreadable(f"topic {topic} is not there: is EBBTIDE_PREFIX right?")
        result.ends |= {(topic, partition): 0 for partition in found.partitions}
    with read_model(dsn) as model:
        refused = model.renew(
            str(metadata.cluster_id), topics.prefix, lambda: result.ends, _batches(bootstrap, folder, result)
        )
    result.unreadable += refused
    return result


def _batches(bootstrap: str, folder: Folder, result: Rebuilt) -> Iterator[Sequence[Change]]:
    batch: list[Change] = []
    for topic in folder.names():
        for message in read_to_end(bootstrap, topic):
            result.records += 1
            result.ends[topic, message.partition() or 0] = (message.offset() or 0) + 1
            try:
                batch += folder.changes(topic, message.key() or b"", message.value())
            except Unreadable:
                result.unreadable += 1
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    yield batch
