"""Topics of a broker for tests and benches that nobody needs any more.

Used by the tests' fixtures, at the end of each test, and by `ops.bench.run`, at the end of each run.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete the topics whose names begin with `prefix`; one that goes meanwhile is as good. Raises KafkaException.

    The broker's cleaner, its retention and whoever asks for the whole cluster look at every topic there is: hundreds
    that nobody needs any more would be a fifth of a core.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=60).topics if name.startswith(prefix)]
    if names:
        for deleted in admin.delete_topics(names, request_timeout=60).values():
            try:
                deleted.result()
            except KafkaException as e:
                if e.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
