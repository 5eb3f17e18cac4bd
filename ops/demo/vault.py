"""The outside team's service of the demo: media files in a SQLite database, erased on request.

It knows nothing of the engine but the documented topics of a `consumer` target (docs/targets.md) and speaks to them
with stock confluent-kafka, as such a team would.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Consumer, Producer


class Vault:
    """The service and its store. `start` runs its consumer in a thread until `stop`."""

    def __init__(self, path: Path, bootstrap: str, outbox: str, inbox: str) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("create table if not exists media (org text, id text, primary key (org, id))")
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._inbox = inbox
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "vault",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._consumer.subscribe([outbox])
        self._producer = Producer({"bootstrap.servers": bootstrap})
        self._thread = threading.Thread(target=self._run, name="vault", daemon=True)

    def add(self, records: Iterable[tuple[str, str]]) -> None:
        """Keep media files of (org, id)."""
        with self._lock, self._db:
            self._db.executemany("insert or ignore into media values (?, ?)", records)

    def ids(self) -> set[tuple[str, str]]:
        """Return (org, id) of all files kept."""
        with self._lock:
            return set(self._db.execute("select org, id from media"))

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close the store."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        self._db.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.2)
            if message is None or message.error():
                continue
            order = json.loads(message.value() or b"{}")
            with self._lock, self._db:
                self._db.executemany(
                    "delete from media where org = ? and id = ?", [(order["org"], i) for i in order["records"]]
                )
            answer = {"v": 1, "batch_id": order["batch_id"], "reply": order["reply"], "outcome": "done"}
            self._producer.produce(
                self._inbox, json.dumps(answer), key=message.key(), partition=message.partition() or 0
            )
            self._producer.flush()
            self._consumer.commit(message=message, asynchronous=False)
