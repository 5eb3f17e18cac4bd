"""`python -m ops.bench`: measure ebbtide beside its peers on this machine, on a broker of its own.

It ends with one plain line for each bar: name, ratio, bar, `held` or `short`. Its exit code says whether the run is
sound (every contender erased exactly what was due), not whether bars are held.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ops.bench.contender import Broker
from ops.bench.contenders import all_contenders
from ops.bench.dataset import Shape
from ops.bench.load import load
from ops.bench.results import bars, markdown, medians, report
from ops.bench.run import run_rounds, warm_up
from ops.local.config import StackConfig
from ops.local.stack import start_kafka
from ops.settings import read_settings

_QUICK_RECORDS, _QUICK_ROUNDS = 500_000, 2
_FULL_RECORDS, _FULL_ROUNDS = 2_000_000, 3
_WARM_UP_RECORDS = 100_000


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller and fewer rounds: under five minutes.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each contender runs.")] = None,
    records: Annotated[int | None, typer.Option(min=1000, help="How many events are ingested.")] = None,
    orgs: Annotated[int, typer.Option(min=1, help="How many orgs they belong to.")] = 200,
    only: Annotated[list[str] | None, typer.Option(help="Run only this contender; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("bench.json"),
    page: Annotated[Path | None, typer.Option("--markdown", help="Where to write them as Markdown too.")] = None,
) -> None:
    """Measure ebbtide beside its peers: ingest, bytes on disk, sweep."""
    shape = Shape(records=records or (_QUICK_RECORDS if quick else _FULL_RECORDS), orgs=orgs)
    cache_dir = read_settings(os.environ).cache_dir
    contenders = all_contenders(cache_dir)
    unknown = set(only or ()) - set(contenders)
    if unknown:
        raise typer.BadParameter(f"no contender {sorted(unknown)}; there are {sorted(contenders)}")
    # Figures by the clock say little when others use the machine too; those by CPU hold up better.
    load_before = os.getloadavg()[0]
    chosen = {name: factory for name, factory in contenders.items() if not only or name in only}
    with tempfile.TemporaryDirectory(prefix="ebbtide-bench-") as temporary:
        directory = Path(temporary)
        config = StackConfig(cache_dir=cache_dir, docker=False, stand_ins=False, kafka_heap="1g")
        kafka = start_kafka(config, directory)
        try:
            broker = Broker(bootstrap=kafka.bootstrap, pid=kafka.pid)
            typer.echo("warming up the broker")
            small = dataclasses.replace(shape, records=min(_WARM_UP_RECORDS, shape.records))
            warm_up(chosen, broker, load(kafka.bootstrap, _topic(), small), directory=directory)
            typer.echo(f"loading {shape.records:,} events of {shape.orgs} orgs")
            dataset = load(kafka.bootstrap, _topic(), shape)
            done = run_rounds(
                chosen,
                broker,
                dataset,
                rounds=rounds or (_QUICK_ROUNDS if quick else _FULL_ROUNDS),
                directory=directory,
                say=typer.echo,
            )
        finally:
            kafka.stop()
    machine = {
        "events": shape.records,
        "orgs": shape.orgs,
        "cores": os.cpu_count(),
        "load before": round(load_before, 1),
        "architecture": platform.machine(),
        "Python": platform.python_version(),
    }
    out.write_text(json.dumps(report(done, machine), indent=1) + "\n")
    text = markdown(done, machine)
    if page is not None:
        page.write_text(text)
    typer.echo("\n" + text)
    for bar in bars(medians(done)):
        typer.echo(str(bar))


def _topic() -> str:
    return f"bench-{secrets.token_hex(4)}"


typer.run(main)
