"""The inbox is bounded by bytes, keeps order, and frees its waiters when it is closed."""

from __future__ import annotations

import asyncio

from streams.lane.inbox import Inbox, Record


def record(offset: int, size: int = 0) -> Record:
    return Record("log", offset, 0, None, bytes(size), ())


def test_records_come_out_in_order_and_a_full_inbox_makes_its_writer_wait() -> None:
    async def play() -> tuple[int, list[int]]:
        inbox = Inbox(record(0).size * 3)

        async def write() -> None:
            for offset in range(10):
                await inbox.put(record(offset))

        writer = asyncio.ensure_future(write())
        await asyncio.sleep(0)
        fullest = len(inbox)
        taken = []
        while len(taken) < 10 and await inbox.wait():
            while (found := inbox.take()) is not None:
                taken.append(found.offset)
        await writer
        return fullest, taken

    fullest, taken = asyncio.run(play())

    assert fullest == 3
    assert taken == list(range(10))


def test_a_record_larger_than_the_limit_still_passes_when_it_is_alone() -> None:
    async def play() -> int:
        inbox = Inbox(10)
        await inbox.put(record(0, size=1_000))
        return len(inbox)

    assert asyncio.run(play()) == 1


def test_closing_frees_a_waiting_writer_and_a_waiting_reader_and_drops_everything() -> None:
    async def play() -> tuple[bool, int]:
        full, empty = Inbox(1), Inbox(1)
        await full.put(record(0))
        writer = asyncio.ensure_future(full.put(record(1)))
        reader = asyncio.ensure_future(empty.wait())
        await asyncio.sleep(0)
        full.close()
        empty.close()
        await asyncio.wait_for(writer, 10)
        return await asyncio.wait_for(reader, 10), len(full)

    still_open, left = asyncio.run(play())

    assert not still_open
    assert left == 0


def test_waiting_for_a_while_ends_with_a_record_or_with_the_time() -> None:
    async def play() -> tuple[int, int]:
        inbox = Inbox(1_000)
        await inbox.wait_for(0.001)
        before = len(inbox)
        reader = asyncio.ensure_future(inbox.wait_for(60))
        await asyncio.sleep(0)
        await inbox.put(record(0))
        await asyncio.wait_for(reader, 10)
        return before, len(inbox)

    assert asyncio.run(play()) == (0, 1)
