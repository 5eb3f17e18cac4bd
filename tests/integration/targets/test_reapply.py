"""A store is brought back from a backup: what had been erased since is erased again, and nothing else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from typer.testing import CliRunner

from ops.cli.app import app
from ops.cli.output import Exit
from ops.local.service import KafkaServer
from ops.reading import read_to_end
from ops.reapply import Reapplied, reapply
from ops.rules_topic import set_paused
from ops.settings import to_environ
from sinks.hiding import HIDE, HideOrder
from sinks.holding import HoldInForce, HoldsView, Place
from sinks.postgres import PostgresLimits
from tests.integration.roles import Roles
from tests.integration.targets import test_kafka as kafka_target
from tests.integration.targets.support import CODEC, Cluster, batch_id, batch_record, running, wait_for
from tests.integration.targets.test_postgres import ids_of, left, make_sink, make_table


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def restore(dsn: str, rows: int) -> None:
    """Bring the table back as a backup has it; the target's own tables come back as they were: empty."""
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE messages")
        connection.execute("DROP SCHEMA ebbtide_target CASCADE")
    make_table(dsn, rows)


def erase(cluster: Cluster, sink: Any, *records: dict[str, Any], acks: int) -> None:
    with running(cluster.spec(), sink):
        cluster.send(*records)
        wait_for(lambda: len(cluster.acks()) >= acks, "the acks")


class Held:
    """A hold of one record of acme's."""

    view = HoldsView(
        holds=[HoldInForce(org="acme", place=Place(0, 7), records=frozenset({"31"}))], read_to={0: 8}
    )  # fmt: skip

    def now(self) -> HoldsView:
        return self.view

    def again(self) -> HoldsView:
        return self.view


def test_what_went_since_the_backup_goes_again_and_what_was_withheld_or_is_held_stays(
    kafka: KafkaServer, database: str, prefix: str
) -> None:
    make_table(database, 100)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm", "other"])
    before = batch_record("crm", "acme", ids_of(1, 10))
    erase(cluster, make_sink(database), before, acks=1)
    wait_for(lambda: now_ms() > last_ack(cluster), "a later moment")
    since = now_ms()
    with psycopg.connect(database) as holder:  # the target withholds it, and the ledger may keep it from then on
        holder.execute("SELECT FROM messages WHERE id = 25 FOR UPDATE")
        sink = make_sink(database, limits=PostgresLimits(lock_s=0.2))
        erase(cluster, sink, *[batch_record("crm", "acme", ids_of(n, 10)) for n in (21, 31)], acks=3)
        holder.rollback()
    question = {name: before[name] for name in ("batch_id", "target", "org", "category", "action", "record_ids")}
    question |= {"ask": 1}  # it changes nothing, and nothing is done for it
    cluster.send_raw(cluster.topics.erasures("crm"), CODEC.encode("VerifyBatch", question))
    cluster.send(batch_record("crm", "acme", ids_of(91, 5)))  # nobody has done it: it is the runner's
    cluster.send(batch_record("other", "acme", ids_of(81, 5)))
    offsets = len(cluster.acks())
    restore(database, 100)

    done = reapply(cluster.spec(), make_sink(database), since_ms=since, holds=Held())
    stayed = left(database)
    again = reapply(cluster.spec(), make_sink(database), since_ms=since)

    assert done == Reapplied(target="crm", batches=2, found=18, changed=18, held=1, unacknowledged=1)
    assert not done.proven
    assert stayed == [*range(1, 21), 25, 31, *range(41, 101)]
    assert again == Reapplied(target="crm", batches=2, found=1, changed=1, unacknowledged=1)
    assert again.proven
    assert left(database) == [*range(1, 21), 25, *range(41, 101)]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM ebbtide_target.holds").fetchone() == (0,)
    assert len(cluster.acks()) == offsets


def last_ack(cluster: Cluster) -> int:
    return max(message.timestamp()[1] for message in read_to_end(cluster.bootstrap, cluster.topics.acks))


def test_what_is_left_unknown_or_out_of_reach_is_said(kafka: KafkaServer, database: str, prefix: str) -> None:
    make_table(database, 60)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    records = [batch_record("crm", "acme", ids_of(n, 10)) for n in (1, 11, 21)]
    erase(cluster, make_sink(database), *records, acks=3)
    restore(database, 60)
    cluster.trim(cluster.topics.erasures("crm"), 0, before=1)
    order = HideOrder(
        id=batch_id("hide"), target="crm", org="acme", category="messages", action=HIDE, stamp=now_ms() * 1000
    )
    cluster.send_order(order)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE invoices (message bigint REFERENCES messages)")
        connection.execute("INSERT INTO invoices VALUES (15)")

    done = reapply(cluster.spec(), make_sink(database), since_ms=0)

    assert done == Reapplied(target="crm", whole=False, batches=2, orders=1, found=20, changed=19, left=1, residual=1)
    assert not done.proven
    assert left(database) == [*range(1, 11), 15, *range(31, 61)]


def test_values_that_came_back_into_a_topic_get_their_tombstones_again(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    for name in ("1", "2", "3"):
        cluster.send_raw(topic, b"{}", key=f"acme/{name}".encode(), partition=1)
    erase(
        cluster,
        kafka_target.make_sink(cluster, topic, tmp_path / "runner"),
        batch_record("profiles", "acme", ["1", "2"]),
        acks=1,
    )
    for name in ("1", "2"):
        cluster.send_raw(topic, b"{}", key=f"acme/{name}".encode(), partition=1)

    done = reapply(cluster.spec(), kafka_target.make_sink(cluster, topic, tmp_path / "again"), since_ms=0)

    assert done == Reapplied(target="profiles", batches=1, found=2, changed=2)
    assert set(kafka_target.latest(cluster, topic)) == {"acme/3"}


DATA_MAP = """
version: 1
template: vantage
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  billing: {kind: consumer}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id}
      billing: {}
"""


def test_the_command_tells_by_its_exit_code_whether_all_is_gone(
    kafka: KafkaServer, database: str, prefix: str, tmp_path: Path
) -> None:
    make_table(database, 20)
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    cluster = Cluster.existing(kafka.bootstrap, prefix)
    erase(cluster, make_sink(database), batch_record("crm", "acme", ids_of(1, 10)), acks=1)
    restore(database, 20)
    environ = {**to_environ(engine.settings), "EBBTIDE_POSTGRES_DSN": database}
    today = datetime.now(UTC).date().isoformat()

    def command(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["reapply", *arguments], env=environ)
        return done.exit_code, done.output

    code, said = command("crm", "--since", today, "--json")
    assert (code, json.loads(said.splitlines()[-1])["changed"]) == (Exit.OK, 10), said
    assert left(database) == list(range(11, 21))

    for arguments, why in (
        (("crm", "--since", "yesterday"), "no moment"),
        (("crm", "--since", "2999-01-01"), "lies in the future"),
        (("nowhere", "--since", today), "no target"),
        (("billing", "--since", today), "outside service"),
    ):
        code, said = command(*arguments)
        assert (code, why in said) == (Exit.REFUSED, True), said
    set_paused(
        kafka.bootstrap,
        engine.topics,
        CODEC,
        True,
        partitions=engine.settings.partitions,
        signing_key=engine.settings.key("signing_key"),
    )
    assert command("crm", "--since", today)[0] == Exit.REFUSED
