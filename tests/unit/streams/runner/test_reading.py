"""What is read for one transaction: rows are counted by what the store must hold of them until it is committed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka import Message

from schemas.plans import FieldAction
from sinks.anonymise import Anonymiser
from sinks.batch import ANONYMISE, DELETE
from sinks.memory import MemorySink
from streams.runner.reading import Piece, Read, Reader
from tests.unit.streams.runner.test_held_up import SPEC
from tests.unit.streams.runner.test_verifying import BATCH


@pytest.mark.parametrize(("action", "counted"), [(DELETE, 1), (ANONYMISE, 20)])
def test_a_row_that_is_rewritten_counts_as_several(action: str, counted: int) -> None:
    spec = replace(SPEC, limits=replace(SPEC.limits, rewritten_counts=20))
    batch = replace(BATCH, action=action)
    plans = {BATCH.category: {"body": FieldAction("replace", "[erased]")}}
    reader = Reader(spec, MemorySink("crm", plans, anonymiser=Anonymiser(b"s" * 16)))
    piece = Piece()

    assert reader.take(piece, Read(Message(), "ErasureBatch", batch), 2) == counted * BATCH.rows
    assert [job.batch for job in piece.jobs] == [batch]
