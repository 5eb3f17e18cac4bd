"""Whether a broker answers, and whether it is ours. Used by every way that we run Kafka."""

from __future__ import annotations

import base64
import logging
import secrets

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.local.errors import WrongCluster

__all__ = ["SILENT", "kafka_answers", "new_cluster_id"]

# Refused connections are what waiting for a start looks like: no reason to print them.
SILENT = logging.Logger("kafka-start", level=logging.CRITICAL + 1)


def new_cluster_id() -> str:
    """16 random bytes in URL base64 without padding, as Kafka's Uuid makes it: never with a leading hyphen."""
    while True:
        made = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        if not made.startswith("-"):
            return made


def kafka_answers(bootstrap: str, *, cluster_id: str | None = None) -> bool:
    """Whether a broker is there, within half a second.

    Raises WrongCluster when it is not the cluster `cluster_id`: another broker took the port, nothing was written.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=SILENT)
    try:
        cluster = admin.list_topics(timeout=0.5)
    except KafkaException:
        return False
    if not cluster.brokers:
        return False
    if cluster_id is not None and cluster.cluster_id != cluster_id:
        raise WrongCluster(bootstrap, cluster_id, str(cluster.cluster_id))
    return True
