"""What a backfill needs to know, taken from settings and data map. Used by `ops.backfill.run` and its callers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from ops.settings import Settings
from schemas.datamap import DataMap
from schemas.errors import Refused
from schemas.plans import KafkaPlan, PostgresPlan
from schemas.s3plan import S3Plan
from sinks.inventory import PAGE_ROWS, Inventory
from sinks.inventory_kafka import KafkaInventory
from sinks.inventory_postgres import PostgresInventory
from sinks.inventory_s3 import S3Inventory
from sinks.s3_client import S3Place


class NotBackfillable(Refused):
    """There is no such target, or nothing that could be read there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillSpec:
    """Where from and where to. `page_rows` rows are read, sorted and committed at once."""

    bootstrap: str
    prefix: str
    data_map: DataMap
    registry_url: str = ""
    page_rows: int = PAGE_ROWS

    @classmethod
    def of(cls, settings: Settings, data_map: DataMap) -> Self:
        """Take it from the settings."""
        return cls(
            bootstrap=settings.kafka_bootstrap,
            prefix=settings.prefix,
            data_map=data_map,
            registry_url=settings.registry_url,
        )

    def inventory(self, target: str) -> Inventory:
        """Return the inventory of a target. Raises NotBackfillable, schemas.errors.Refused."""
        there = self.data_map.targets.get(target)
        if there is None:
            names = ", ".join(sorted(self.data_map.targets))
            raise NotBackfillable(f"target {target!r} is not in the data map {self.data_map.file}; there are {names}")
        plans = self.data_map.plans_of(target).values()
        if there.kind == "postgres":
            tables = [p for p in plans if isinstance(p, PostgresPlan)]
            return PostgresInventory(target, there.options["dsn"], tables, page_rows=self.page_rows)
        if there.kind == "kafka":
            topics = [p for p in plans if isinstance(p, KafkaPlan)]
            bootstrap = there.options.get("bootstrap", self.bootstrap)
            return KafkaInventory(target, bootstrap, topics, page_rows=self.page_rows)
        if there.kind == "s3":
            objects = [p for p in plans if isinstance(p, S3Plan)]
            return S3Inventory(target, S3Place.of(there), objects, page_rows=self.page_rows)
        raise NotBackfillable(
            f"target {target!r} is of kind {there.kind!r}: only its own service knows what is there; "
            "let it publish its records once, see README"
        )

    def signature(self, target: str) -> str:
        """Return what a cursor depends on: a backfill under other plans starts anew."""
        plans = sorted(repr(plan) for plan in self.data_map.plans_of(target).values())
        return hashlib.sha256("\n".join(plans).encode()).hexdigest()[:16]
