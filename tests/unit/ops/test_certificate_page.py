"""The page says what the certificate says, on one page, however much that is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pypdf import PdfReader

from ops.certificate_page import page_of
from schemas.jobs import PART_COUNTS, State
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from streams.audit.certificate import open_certificate, seal_certificate
from streams.audit.copies import evidence_of
from streams.audit.intents import intent
from streams.coordinator.certificates import facts_of
from streams.coordinator.rows import Job, Org
from tests.support.audit import KEY, SEED, Written

AT = 1_764_115_200_000  # 26 November 2025, 00:00 UTC


def rules(categories: int) -> Rules:
    found = {
        f"c{n:02}": CategoryRules(
            name=f"c{n:02}", targets=("crm",), default=Setting(category=f"c{n:02}", period="30 d", action="delete")
        )
        for n in range(categories)
    }
    return Rules(version=3, categories=found)


def pages(facts: dict[str, Any], *, reveal: bool = True) -> list[str]:
    log = Written().add(0, intent("certificate", "acme", facts, request=["r-1"]))
    evidence = evidence_of(log.copy.days[0], 1)
    text = seal_certificate(
        evidence if reveal else {**evidence, "open": []}, SEED, org=log.copy.org if reveal else None
    )
    page = page_of(open_certificate(text, KEY), text)
    return [found.extract_text() for found in PdfReader(io.BytesIO(page)).pages]


def facts(*, targets: int = 2, categories: int = 3) -> dict[str, Any]:
    job = Job(
        request_id="r-1",
        kind="erase",
        content="",
        state=State.COMPLETED_WITH_EXCEPTIONS,
        requested_at=AT,
        deadline=AT + 86_400_000,
        detail={
            "through": AT,
            "regime": "gdpr",
            "subjects": [2, 3],
            "found": 7,
            "waiting": {"hold": 2},
            "backups": {"store-0": {"records": 4, "until": AT + 30 * 86_400_000}, "store-1": None},
        },
    )
    part = {**dict.fromkeys(PART_COUNTS, 0), "partition": 0, "due": 5, "done": 4, "changed": 4, "withheld": 1}
    parts = [{**part, "target": f"store-{n}"} for n in range(targets)]
    return facts_of(job, parts, rules(categories), Org(exports=1), at=AT)


def test_it_says_whose_what_how_many_and_what_is_left() -> None:
    (page,) = pages(facts())

    for words in (
        "Certificate of deletion",
        "completed, with the exceptions named below",
        "acme",
        "r-1",
        "26 November 2025, 00:00 UTC",
        "the records of 2 people",
        "c00: delete, c01: delete, c02: delete",
        "store-1",
        "2 records are kept by a legal hold",
        "1 records in store-0 are withheld by the target",
        "Files of 1 exports may have been fetched",
        "Backups of store-0 may hold 4 records until 26 December 2025, 00:00 UTC",
        "Of backups of store-1 nothing is stated",
        "ebbtide verify FILE",
        "ebbtide.audit/",
    ):
        assert words in page, words


def test_without_salts_it_names_nobody() -> None:
    (page,) = pages(facts(), reveal=False)

    assert "acme" not in page
    assert "r-1" not in page


@pytest.mark.parametrize(("targets", "categories"), [(1, 1), (60, 200)])
def test_it_is_one_page(targets: int, categories: int) -> None:
    assert len(pages(facts(targets=targets, categories=categories))) == 1
