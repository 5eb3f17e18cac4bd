"""Topics that nobody needs any more: all with a prefix go, and who comes second finds nothing wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from confluent_kafka.admin import AdminClient, NewTopic

from ops.local.kafka.topics import delete_topics
from ops.local.service import KafkaServer
from tests.integration.engine import eventually


def test_topics_with_a_prefix_go_though_several_take_them_away_at_once(kafka: KafkaServer, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    names = [f"{prefix}-a-{n}" for n in range(20)]
    for made in admin.create_topics([NewTopic(name, 1) for name in [*names, f"{prefix}-b"]]).values():
        made.result(60)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: delete_topics(kafka.bootstrap, f"{prefix}-a"), range(4)))

    def left() -> list[str]:
        return sorted(name for name in admin.list_topics(timeout=60).topics if name.startswith(prefix))

    eventually(lambda: left() == [f"{prefix}-b"], what="no topic but the other's")
