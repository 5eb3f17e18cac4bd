"""`ebbtide audit show|export|verify|key|unlink`: what was done, and that nothing of it was changed since."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from confluent_kafka import KafkaException
from rich.table import Table

from ops.audit import AuditTopics, audit_key, org_of
from ops.audit_siem import siem_event
from ops.cli.connected import connected_settings
from ops.cli.output import console, emit, guarded, say
from ops.cli.subjects import Subject, SubjectsFile, read_subjects
from ops.cli.up import AsJson
from ops.settings import read_settings
from schemas.codec import registered_codec
from schemas.errors import Refused, Retry
from schemas.subjects import SubjectKeys
from streams.audit.copies import DayCopy, LogCopy, lines_of
from streams.audit.entries import read_leaf
from streams.audit.faults import FLIPPED, Tampered
from streams.audit.verify import Verified, verify, verify_copy

app = typer.Typer(
    help="The audit log of an org: show it, export it, and prove that it is what was signed.", no_args_is_help=True
)

TAMPERED: Final = 3
"""Exit code of `verify` and `export`: what was checked is not what was signed."""
UNREAD: Final = 4
"""Exit code of both where the brokers did not answer: nothing is known."""

Org = Annotated[str, typer.Argument(help="The org's id; - for the installation's own log.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="With the ids that the log itself only has hashes of.")]
Since = Annotated[str, typer.Option("--since", help="From this day on, such as 2026-01-31.")]
Until = Annotated[str, typer.Option("--until", help="Up to and with this day.")]


class NoFile(Refused):
    """A file cannot be read or written."""


@app.command("show")
@guarded
def show(
    org: Org,
    since: Since = "",
    until: Until = "",
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind; may be given again.")] = None,
    reveal: Reveal = False,
    as_json: AsJson = False,
) -> None:
    """Show an org's entries, the oldest first. It does not prove anything: `verify` does."""
    copy, _ = _topics().read(org_of(org), reveal=reveal)
    table = Table("day", "index", "at", "kind", "facts", "about")
    for day in _chosen(copy, since, until).days:
        for index, text in enumerate(day.leaves):
            leaf = read_leaf(text)
            if kind and leaf.kind not in kind:
                continue
            about = _about(day, index)
            if as_json:
                emit({**leaf.members(), **({"about": about} if reveal else {})})
                continue
            at = datetime.fromtimestamp(leaf.at / 1000, UTC).isoformat(timespec="milliseconds")
            said = ", ".join(
                f"{name}: {value}" for name, value in sorted(leaf.facts.items()) if value not in ("", None)
            )
            who = "; ".join(f"{name}: {', '.join(values)}" for name, values in sorted(about.items()))
            table.add_row(day.day, str(leaf.index), at, leaf.kind, said, who)
    if not as_json:
        console.print(table)


@app.command("export")
@guarded
def export(
    org: Org,
    file: Annotated[str, typer.Option("--file", help="Where to write; - for standard output.")] = "-",
    since: Since = "",
    until: Until = "",
    reveal: Reveal = False,
    siem: Annotated[bool, typer.Option("--siem", help="As events of the Elastic Common Schema.")] = False,
) -> None:
    """Check an org's log, and write it as a file that anybody can check again. Exit code 3 if it does not hold."""
    with _judged(as_json=False):
        settings = connected_settings()
        key = audit_key(settings, registered_codec(settings.registry_url))
        copy, newest = _topics().read(org_of(org), reveal=reveal)
        verify_copy(copy, key, against=[newest])
        chosen = _chosen(copy, since, until)
    lines = _events(org_of(org), chosen) if siem else lines_of(chosen)
    entries = sum(len(day.leaves) for day in chosen.days)
    if file == "-":
        for line in lines:
            sys.stdout.write(line + "\n")
        return
    try:
        with Path(file).open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(line + "\n" for line in lines)
    except OSError as error:
        raise NoFile(f"{file}: cannot be written ({error.strerror})") from None
    say(f"{entries} entries of {len(chosen.days)} days are in {file}")


@app.command("verify")
@guarded
def verify_(
    org: Annotated[str, typer.Argument(help="The org's id; - for the installation's own log. Empty with --file.")] = "",
    file: Annotated[str, typer.Option("--file", help="An exported file; - for standard input. Needs no engine.")] = "",
    log: Annotated[str, typer.Option("--log", help="A log by its name, 64 hex digits, whoever's it is.")] = "",
    key: Annotated[str, typer.Option("--key", help="Whose signature is believed: as `audit key` prints it.")] = "",
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="A head that was kept: a note, or an older exported file; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a log is what was signed. Exit code 3 names the index where it is not; 4: it could not be read."""
    if sum(map(bool, (org, file, log))) != 1:
        raise Refused("name an org, or a file with --file, or a log with --log: one of them")
    if log and not re.fullmatch("[0-9a-f]{64}", log):
        raise Refused("a log's name is 64 hex digits, as `audit export` has it in its first line")
    kept = [_note(name) for name in against or ()]
    with _judged(as_json=as_json):
        if file:
            settings = read_settings(os.environ)
            codec = registered_codec(settings.registry_url) if settings.kafka_bootstrap else None
            found = verify(_text(file).split("\n")[:-1], audit_key(settings, codec, key), against=kept)
        else:
            settings = connected_settings()
            believed = audit_key(settings, registered_codec(settings.registry_url), key)
            copy, newest = (_topics().read_log(log), "") if log else _topics().read(org_of(org))
            found = verify_copy(copy, believed, against=[*filter(None, [newest]), *kept])
    _tell(found, as_json=as_json)


@app.command("key")
@guarded
def key(as_json: AsJson = False) -> None:
    """Show the key that audit logs are checked with, in the form of signed notes: give it to whoever is to verify."""
    settings = read_settings(os.environ)
    found = audit_key(settings, registered_codec(settings.registry_url) if settings.kafka_bootstrap else None)
    if as_json:
        emit({"audit_key": found.text()})
    else:
        console.print(found.text(), soft_wrap=True, highlight=False)


@app.command("unlink")
@guarded
def unlink(
    org: Org,
    subject: Subject = None,
    subjects: SubjectsFile = "",
    everything: Annotated[
        bool, typer.Option("--all", help="The whole log of the org, for good: its own salt, and its certificates.")
    ] = False,
    confirm: Annotated[str, typer.Option("--confirm", help="With --all: the org's id once more.")] = "",
    as_json: AsJson = False,
) -> None:
    """Destroy the salts of people, or of a whole org: nothing links entries to them any more, and all proofs hold."""
    people = read_subjects(subject, subjects, most=None)
    if everything == bool(people):
        raise Refused("name people with --subjects or --subject, or the whole log with --all: one of the two")
    if everything:
        if confirm != org:
            raise Refused("this cannot be undone: name the org once more with --confirm")
        log = _topics().forget(org_of(org))
        if as_json:
            emit({"log": log})
        else:
            console.print(f"nothing links the log {log} to the org any more", highlight=False, soft_wrap=True)
        return
    settings = connected_settings()
    refs = SubjectKeys(settings.key("master_key")).refs(org_of(org), people)
    hexes = {ref.to_bytes(8, "little").hex() for ref in refs}
    values, entries = _topics().unlink(org_of(org), hexes)
    if as_json:
        emit({"values": values, "entries": entries})
    else:
        console.print(f"{values} values of {entries} entries are unlinked")


def _topics() -> AuditTopics:
    settings = connected_settings()
    return AuditTopics.of(settings, registered_codec(settings.registry_url))


def _chosen(copy: LogCopy, since: str, until: str) -> LogCopy:
    days = [day for day in copy.days if day.day >= since and (not until or day.day <= until)]
    if not days:
        raise Refused("there are no entries of these days")
    return LogCopy(copy.log, days, copy.org)


def _about(day: DayCopy, index: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for opening in day.openings.get(index, ()):
        found.setdefault(opening.name, []).append(opening.value)
    return found


def _events(org: str, copy: LogCopy) -> Iterator[str]:
    for day in copy.days:
        for index, text in enumerate(day.leaves):
            event = siem_event(read_leaf(text), org=org if copy.org is not None else "", about=_about(day, index))
            yield json.dumps(event, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def _judged(*, as_json: bool) -> Iterator[None]:
    """Turn what a check finds into its exit codes: 3 is kept for a log that does not hold."""
    try:
        yield
    except Tampered as error:
        said: dict[str, Any] = {"holds": False, "day": error.day, "index": error.index, "fault": error.fault}
        if as_json:
            emit({**said, "text": str(error)})
        say(f"ebbtide: {error}")
        raise typer.Exit(TAMPERED) from None
    except (Retry, KafkaException) as error:
        say(f"ebbtide: the log could not be read: {error}")
        raise typer.Exit(UNREAD) from None


def _tell(found: Verified, *, as_json: bool) -> None:
    if as_json:
        said = {"holds": True, "log": found.log, "org": found.org, "entries": found.entries}
        emit({**said, "days": dict(found.sizes), "since": found.since, "newest": found.newest})
        return
    days = list(found.sizes)
    console.print(f"{found.entries} entries of {len(days)} days, {days[0]} to {days[-1]}, are what was signed")
    if found.since is not None:
        console.print(f"they go on from {found.since}, which is not among them")
    console.print("keep the newest head to compare with later:")
    console.print(found.newest, highlight=False, markup=False, soft_wrap=True)


def _note(name: str) -> str:
    """Return the head in a file: a note, or what an exported file begins with."""
    text = _text(name)
    first = text.split("\n", 1)[0]
    try:
        said = json.loads(first)
        return str(said["newest"]) if isinstance(said, dict) else text
    except (ValueError, KeyError):
        return text


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_bytes().decode()
    except OSError as error:
        raise NoFile(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Tampered("", 0, FLIPPED, "it is not UTF-8") from None
