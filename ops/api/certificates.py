"""A certificate of deletion as an answer: the file as it was signed, or the page that is made of it."""

from __future__ import annotations

from typing import Final

from fastapi import Response

from ops.certificate_page import page_of
from schemas.rules import Rules
from streams.audit.certificate import open_certificate
from streams.audit.log import head_key

JSON: Final = "application/json"
PDF: Final = "application/pdf"


def answer(text: str, rules: Rules, *, pdf: bool) -> Response:
    """Return the answer. Raises BadCertificate: what the read model holds was not signed by the installation."""
    found = open_certificate(text, head_key(bytes.fromhex(rules.audit_key)))
    name = f'attachment; filename="certificate-{found.leaf.day}-{found.leaf.index}.{"pdf" if pdf else "json"}"'
    headers = {"Content-Disposition": name}
    if pdf:
        return Response(page_of(found, text), media_type=PDF, headers=headers)
    return Response(text, media_type=JSON, headers=headers)
