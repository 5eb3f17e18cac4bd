"""Every reason for a dead letter, amid good messages: the good ones all arrive, each bad one is one dead letter."""

from __future__ import annotations

import uuid
from collections import Counter

from ops.local.service import KafkaServer
from schemas.reasons import REASONS
from schemas.seal import Seal
from tests.integration.gateway.running import CODEC, Heard, gateway, make_topics, publish, record_ids, wait
from tests.integration.log import committed
from tests.support.lifecycle import MASTER, bad_messages, event


def test_each_bad_message_is_one_dead_letter_and_every_good_one_arrives(kafka: KafkaServer, prefix: str) -> None:
    topics = make_topics(kafka.bootstrap, prefix)
    bad = bad_messages(CODEC)
    ids = [str(uuid.uuid4()) for _ in range(4 * len(bad))]
    good = [(b"acme", CODEC.encode("LifecycleEvent", event(record_id=i))) for i in ids]
    mixed = [m for n, row in enumerate(bad.values()) for m in (*good[4 * n : 4 * n + 4], row)]
    heard = Heard()

    publish(kafka.bootstrap, topics.lifecycle, mixed)
    with gateway(kafka.bootstrap, prefix, heard):
        wait(lambda: heard.marks, what="a watermark, which follows all frames")

    assert record_ids(kafka.bootstrap, topics) == Counter(ids)
    letters = [CODEC.decode(m.value() or b"")[1] for m in committed(kafka.bootstrap, topics.dead_letters)]
    assert Counter(x["reason"] for x in letters) == Counter(list(REASONS))
    opened = {x["reason"]: Seal(MASTER).open(x) for x in letters}
    assert opened == {reason: value for reason, (_, value) in bad.items()}
    assert sum(heard.refused.values()) == len(REASONS)
    assert heard.accepted == {("test", "created"): len(ids)}
    assert {producer for _, producer in heard.refused} <= {"test", "other"}
