"""`streams.garbage`: collections are rare while the block lasts, and as before behind it."""

from __future__ import annotations

import gc

from streams.garbage import rare_collections


def test_objects_that_a_pack_holds_start_no_collection() -> None:
    before = gc.get_threshold()
    seen: list[str] = []

    def note(phase: str, _: object) -> None:
        seen.append(phase)

    with rare_collections():
        gc.callbacks.append(note)
        held = [[i] for i in range(200_000)]
        gc.callbacks.remove(note)

    assert len(held) == 200_000
    assert seen == []
    assert gc.get_threshold() == before


def test_everything_can_be_collected_again_behind_it() -> None:
    with rare_collections():
        assert gc.get_freeze_count() > 0

    assert gc.get_freeze_count() == 0
