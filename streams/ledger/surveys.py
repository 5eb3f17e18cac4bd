"""What a request would erase, counted before anything is decided: the ledger's part of the brake on requests.

Where the org's categories hold no more records than the coordinator asks to be told of exactly, that is the answer, and
it is given at once. Else the records are listed as for a plan (`brake_list`). Nothing is changed. Called by `Ledger`
and `selects`; `tests/unit/streams/ledger/test_surveys.py` says what it promises.
"""

from __future__ import annotations

import json
from typing import Any

from streams.ledger import select_list, sheaves
from streams.ledger.brake_list import Counted
from streams.ledger.concern import lineage
from streams.ledger.orgs import refusal
from streams.ledger.select_list import PLAN, Ask
from streams.ledger.state import Work


def ask(work: Work, record: dict[str, Any]) -> None:
    """Take a survey in, or answer why not, or at once where few records can be concerned."""
    org, request = record["org"], record["request_id"]
    error = refusal(work, org, record["epoch"])
    if error:
        work.answer(org, "surveyed", record["epoch"], 0, error, request_id=request)
        return
    categories = sorted(record["categories"])
    row = work.org(org)
    derived = row is not None and row.children  # what is derived goes too, whatever its category
    at_most = kept(work, org, [] if derived else categories) + work.packs().records
    if at_most <= record["exact_over"] and not sheaves.has(work, org):
        body = {
            "records": at_most,
            "kept": at_most,
            "exact": False,
            "targets": {},
            "digest": "",
            "position": work.offset,
        }
        _answer(work, org, request, record["epoch"], record["number"], body)
        return
    options = {"number": record["number"], "through_s": record["through"] // 1000}
    said = Ask(request, record["epoch"], record["everyone"], categories, json.dumps(options, sort_keys=True), PLAN)
    select_list.begin(work, org, said, b"" if record["everyone"] else record["subjects"])


def kept(work: Work, org: str, categories: list[str]) -> int:
    """Return how many records there are at most in segments of these categories, or of all where none is named."""
    named = frozenset(categories)
    pairs = [pair for name, pair in work.pairs_of(org) if not named or named & lineage(work.rules, name)]
    return sum(pair.count for pair in pairs)


def counted(work: Work, org: str, said: Ask, options: dict[str, Any], found: Counted) -> None:
    """Answer with what was counted."""
    body = {
        "records": found.records,
        "kept": kept(work, org, said.categories) + found.beside,
        "exact": True,
        "targets": found.targets,
        "digest": found.digest,
        "position": found.position,
    }
    _answer(work, org, said.request_id, said.epoch, options["number"], body)


def _answer(work: Work, org: str, request: str, epoch: int, number: int, body: dict[str, Any]) -> None:
    text = json.dumps({**body, "number": number}, sort_keys=True, separators=(",", ":"))
    work.answer(org, "surveyed", epoch, number, request_id=request, body=text)
