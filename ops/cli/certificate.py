"""`ebbtide certificate` and `ebbtide verify`: get a certificate of deletion, and check one that somebody has shown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ebbtide.envelope import status_key
from ops.audit import audit_key
from ops.cli.audit import TAMPERED
from ops.cli.connected import connected_settings
from ops.cli.output import console, emit, guarded, say
from ops.cli.up import AsJson
from ops.compacted import newest_values
from ops.settings import read_settings
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.topics import Topics
from streams.audit.certificate import MAX_BYTES, BadCertificate, Certificate, check_against, open_certificate
from streams.audit.faults import Tampered

Pdf = Annotated[Path | None, typer.Option("--pdf", help="Write one page of it there, for people.")]


class NoCertificate(Refused):
    """A job has no certificate."""


@guarded
def certificate(
    org: Annotated[str, typer.Argument(help="The org's id.")],
    job: Annotated[str, typer.Argument(help="The job's id.")],
    file: Annotated[str, typer.Option("--file", help="Where to write; - for standard output.")] = "-",
    pdf: Pdf = None,
) -> None:
    """Get the certificate of an erasure that has ended; what is written is checked first."""
    settings = connected_settings()
    codec = registered_codec(settings.registry_url)
    found = newest_values(settings.kafka_bootstrap, Topics(settings.prefix).certificates).get(status_key(org, job))
    if found is None:
        raise NoCertificate(
            f"job {job!r} of org {org!r} has no certificate: only erasures that have ended get one, a moment later"
        )
    text = str(codec.decode(found)[1]["body"])
    checked = open_certificate(text, audit_key(settings, codec), org=org, request=job)
    if pdf is not None:
        _write_page(pdf, checked, text)
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, encoding="utf-8")


@guarded
def verify(
    file: Annotated[Path, typer.Argument(help="The certificate's file.", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option("--key", help="Whose signature counts: what `ebbtide audit key` prints.")] = "",
    org: Annotated[str, typer.Option("--org", help="Only if it is this org's.")] = "",
    request: Annotated[str, typer.Option("--request", help="Only if it is of this request.")] = "",
    log: Annotated[
        Path | None, typer.Option("--log", help="An exported audit log: it must have the certificate in its place.")
    ] = None,
    pdf: Pdf = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate of deletion; the public audit key is all that it takes. Exit code 3: do not believe it.

    Without --key the rules in force, or the installation in the data directory, say whose signature is believed.
    """
    settings = read_settings(os.environ)
    codec = registered_codec(settings.registry_url) if settings.kafka_bootstrap else None
    believed = audit_key(settings, codec, key)
    try:
        text = _text(file)
        found = open_certificate(text, believed, org=org, request=request)
        if log is not None:
            check_against(found, _text(log).splitlines(), believed)
    except (BadCertificate, Tampered) as error:
        if as_json:
            emit({"holds": False, "text": str(error)})
        say(f"ebbtide: {error}")
        raise typer.Exit(TAMPERED) from None
    if pdf is not None:
        _write_page(pdf, found, text)
    _tell(found, as_json=as_json)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES and file.suffix == ".json":
            raise BadCertificate("its file is larger than a certificate's")
        return file.read_bytes().decode()
    except UnicodeDecodeError:
        raise BadCertificate("its file is not UTF-8") from None


def _write_page(file: Path, found: Certificate, text: str) -> None:
    from ops.certificate_page import page_of  # heavy: who only verifies must not wait for it

    file.write_bytes(page_of(found, text))


def _tell(found: Certificate, *, as_json: bool) -> None:
    said = {"holds": True, "org": found.org, "request": found.request, "log": found.leaf.log}
    if as_json:
        emit({**said, "day": found.leaf.day, "index": found.leaf.index, "facts": found.facts, "head": found.head})
        return
    job, names = found.facts["job"], [name for name in (found.org, found.request) if name]
    whose = f" of {', '.join(names)}" if names else ""
    console.print(f"the certificate holds: {job['kind']}{whose} {job['state'].replace('_', ' ')}")
    for target, counts in sorted(found.facts["targets"].items()):
        console.print(f"  {target}: {counts['changed']} of {counts['due']} records {counts['level']}")
    for one in found.facts["exceptions"]:
        console.print(f"  exception: {json.dumps(one)}", markup=False, highlight=False)
    console.print(f"entry {found.leaf.index} of {found.leaf.day} in audit log {found.leaf.log[:16]}…")
