"""A certificate of deletion on one page, for people: a PDF that says the same as the file, and how to check that.

The page proves nothing; the file does. It names org and request only if the file does. Used by the command line and
the API; `tests/unit/ops/test_certificate_page.py` says what it promises.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import KeepInFrame, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from streams.audit.certificate import Certificate

_MARGIN: Final = 18 * mm
_HEAD: Final = colors.HexColor("#1f3a4d")
_LINE: Final = colors.HexColor("#c9d4da")
_STATES: Final[Mapping[str, str]] = {
    "completed": "completed",
    "completed_with_exceptions": "completed, with the exceptions named below",
}
_REASONS: Final[Mapping[str, str]] = {
    "hold": "kept by a legal hold",
    "min_retain": "kept for the least time that the rules demand",
    "room": "on their way to a target",
    "withheld": "withheld by the target (a hold, or somebody has them locked)",
    "failed": "refused by the target",
    "exempt": "known to be returned by no query, and the target can say no more",
}
_STAYS: Final = frozenset({"exempt"})


def page_of(certificate: Certificate, text: str) -> bytes:
    """Return the PDF. `text` is the certificate's file, whose SHA-256 is printed."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title="Certificate of deletion",
        author="ebbtide",
        invariant=1,
    )
    story = list(_story(certificate, text))
    frame = KeepInFrame(document.width, document.height - 12, story, mode="shrink")
    document.build([frame])
    return out.getvalue()


def _story(certificate: Certificate, text: str) -> Iterator[Any]:
    styles = getSampleStyleSheet()
    title = ParagraphStyle("title", parent=styles["Title"], alignment=0, textColor=_HEAD, fontSize=22, spaceAfter=2)
    head = ParagraphStyle("head", parent=styles["Heading2"], textColor=_HEAD, fontSize=12, spaceBefore=8)
    body = ParagraphStyle("body", parent=styles["BodyText"], fontSize=9, leading=12)
    small = ParagraphStyle("small", parent=body, fontName="Courier", fontSize=7, leading=9, wordWrap="CJK")
    yield Paragraph("Certificate of deletion", title)
    yield Paragraph(_sentence(certificate), body)
    yield Paragraph("What was asked for", head)
    yield _table([[name, value] for name, value in _asked(certificate)], body, widths=(45 * mm, None))
    yield Paragraph("What was done", head)
    columns = ("target", "level", "due", "acknowledged", "changed", "withheld", "failed")
    rows = [[name, *(said[c] for c in ("level", "due", "done", "changed", "withheld", "failed"))]
            for name, said in sorted(certificate.facts["targets"].items())]  # fmt: skip
    yield _table([columns, *rows], body, head=True)
    yield Paragraph("Exceptions", head)
    yield Paragraph("<br/>".join(_all_exceptions(certificate.facts)) or "None.", body)
    yield Paragraph("How to check it", head)
    yield Paragraph(
        "This page is made for people and proves nothing by itself. The certificate's file does, to whoever has the "
        "public audit key: <font name='Courier'>ebbtide verify FILE --key KEY</font>. It is entry "
        f"{certificate.leaf.index} of {certificate.leaf.day} in the audit log below.",
        body,
    )
    yield Spacer(1, 4)
    root = base64.b64encode(sha256(text.encode()).digest()).decode()
    for name, value in (("log", certificate.leaf.log), ("SHA-256 of the file, base64", root)):
        yield Paragraph(f"{name}: {escape(value)}", small)
    for line in certificate.head.strip().split("\n"):
        yield Paragraph(escape(line) or "&nbsp;", small)


def _sentence(certificate: Certificate) -> str:
    job = certificate.facts["job"]
    state = _STATES.get(job["state"], job["state"])
    return f"The erasure described here is {escape(state)}, as of {_moment(job['ended_at'])}."


def _asked(certificate: Certificate) -> Iterator[tuple[str, str]]:
    facts = certificate.facts
    job, scope = facts["job"], facts["scope"]
    if certificate.org:
        yield "org", certificate.org
    if certificate.request:
        yield "request", certificate.request
    yield "asked for", _moment(job["requested_at"])
    if job["deadline"]:
        yield "to be done by", _moment(job["deadline"])
    whose = "all records of the org" if scope["everyone"] else f"the records of {scope['subjects']} people"
    yield "scope", f"{whose}, created up to {_moment(job['through'])}"
    yield "categories", ", ".join(scope["categories"]) or "all"
    yield "how", ", ".join(f"{name}: {action}" for name, action in sorted(facts["policy"]["actions"].items()))
    yield "rules", f"version {facts['policy']['rules']}, {facts['policy']['hash'][:16]}…"
    yield "records found", str(facts["found"])


def _all_exceptions(facts: Mapping[str, Any]) -> Iterator[str]:
    yield from _exceptions(facts["exceptions"])
    unstated = [name for name, said in sorted(facts.get("backups", {}).items()) if said is None]
    if unstated:
        yield f"Of backups of {escape(', '.join(unstated))} nothing is stated."


def _exceptions(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        what = one["what"]
        if what == "kept_category":
            yield f"Category {escape(one['category'])} was kept, as was asked for."
        elif what == "copies_handed_out":
            yield f"Files of {one['archives']} exports may have been fetched: such copies are their holder's to delete."
        elif what == "backups":
            where, until = escape(one["target"]), _moment(one["until"])
            yield f"Backups of {where} may hold {one['records']} records until {until}, as its owner says."
        else:
            where = f" in {escape(one['target'])}" if "target" in one else ""
            ends = "" if what in _STAYS else ": they go by themselves when that ends"
            yield f"{one['records']} records{where} are {_REASONS.get(what, escape(what))}{ends}."


def _table(rows: Sequence[Sequence[Any]], style: ParagraphStyle, *, head: bool = False, widths: Any = None) -> Table:
    cells = [[Paragraph(escape(str(cell)), style) for cell in row] for row in rows]
    looks: list[tuple[Any, ...]] = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ]
    if head:
        looks.append(("LINEBELOW", (0, 0), (-1, 0), 1, _HEAD))
    return Table(cells, colWidths=widths, style=TableStyle(looks), hAlign="LEFT")


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%d %B %Y, %H:%M UTC") if ms else "–"
