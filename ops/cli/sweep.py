"""`ebbtide sweep --once`: one tick, and wait until everything due on that day is erased and acknowledged. For cron."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from ops.cli.output import Exit, emit, guarded, say
from ops.cli.up import AsJson
from ops.progress import read_progress, unfinished
from ops.requests import with_signing_key
from ops.rules_topic import rules_in_force
from ops.settings import read_settings
from ops.timesource import DAY_MS, TimeSource
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.topics import Topics
from streams.clock import TickWriter


@guarded
def sweep(
    once: Annotated[bool, typer.Option("--once", help="Sweep as of now, wait for the end, and report.")] = False,
    limit_s: Annotated[float, typer.Option(help="Give up waiting after so many seconds (exit code 4).")] = 3600,
    approve_leap: Annotated[
        bool, typer.Option(help="Let time leap, after an outage longer than the rules allow to pass unasked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sweep once. Exit code 0: all that was due is acknowledged; 4: not within the limit, it goes on by itself."""
    if not once:
        raise Refused("the ledger sweeps by itself with every tick: write `ebbtide sweep --once` to wait for one sweep")
    settings = read_settings(os.environ)
    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    signed_by = with_signing_key(settings).rules_signer()
    rules = rules_in_force(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)
    targets = sorted({target for category in rules.categories.values() for target in category.targets})
    now = TimeSource(settings.day_seconds, settings.clock_anchor_ms).now_ms()
    writer = TickWriter(
        settings.kafka_bootstrap, topics, settings.partitions, codec, writer="sweep", incarnation=time.time_ns()
    )
    writer.tick(now, approved=approve_leap)
    day = (now - rules.lateness_s * 1000) // DAY_MS
    end = time.monotonic() + limit_s
    while True:
        seen = read_progress(settings.kafka_bootstrap, topics, codec)
        left = unfinished(seen, targets=targets, partitions=settings.partitions, day=day)
        if not left or time.monotonic() > end:
            break
        time.sleep(0.5)
    waiting = [f"{target}/{partition}" for target, partition in left]
    report = {
        "ok": not left,
        "day": day,
        "records_sent": sum(p.records_sent for p in seen.values()),
        "records_acked": sum(p.records_acked for p in seen.values()),
        "waiting": waiting,
    }
    if as_json:
        emit(report)
    elif left:
        say(f"not done within {limit_s:g} s: {len(left)} of target and partition still at work: {waiting[:5]}")
    else:
        say(f"done: {report['records_acked']} records acknowledged since the beginning")
    if left:
        raise typer.Exit(Exit.TIMEOUT)
