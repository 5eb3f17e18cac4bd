"""Where commands take subject ids and values from: arguments, a file, standard input. They are never printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ebbtide.envelope import MAX_SUBJECTS
from ops.subject_lines import BadLine, SubjectLines
from schemas.errors import Refused

Subject = Annotated[
    list[str] | None,
    typer.Option("--subject", help="A person's id, as events name it; may be given again. Other users may see it."),
]
SubjectsFile = Annotated[
    str, typer.Option("--subjects", help="A file with one id a line; - for standard input. Better than --subject.")
]

MAX_FILE_BYTES = 64 << 20


class BadSubjects(Refused):
    """A list of subjects cannot be read or is too long. The text names none of them."""


def read_subjects(named: list[str] | None, file: str, *, most: int | None = MAX_SUBJECTS) -> list[str]:
    """Return all subject ids, each once; at most `most`, None: however many there are. Raises BadSubjects."""
    found = list(named or [])
    if file:
        found += _of_file(file)
    unique = list(dict.fromkeys(found))
    if most is not None and len(unique) > most:
        raise BadSubjects(f"there are {len(unique)} subjects: at most {most} go into one request; split them")
    return unique


def _of_file(file: str) -> list[str]:
    lines = SubjectLines()
    try:
        lines.feed(_bytes(file))
        return lines.end()
    except BadLine as bad:
        raise BadSubjects(f"{file}: {bad}: nothing was sent") from None


class BadValues(Refused):
    """A file of values is none. The text repeats nothing of it."""


def read_values(file: str) -> dict[str, dict[str, Any]]:
    """Return what fields are to be set to, by category; the engine checks them. Raises BadSubjects, BadValues."""
    try:
        found = json.loads(_bytes(file).decode())
    except (ValueError, RecursionError):  # a UnicodeDecodeError as well
        raise BadValues(f'{file}: is no JSON; write {{"category": {{"field": value}}}}') from None
    if not isinstance(found, dict) or not all(isinstance(said, dict) for said in found.values()):
        raise BadValues(f"{file}: must be an object of categories, each an object of fields")
    return found


def _bytes(file: str) -> bytes:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as e:
        raise BadSubjects(f"{file}: cannot be read ({e.strerror}); give the path of a readable file") from None
    if len(raw) > MAX_FILE_BYTES:
        raise BadSubjects(f"{file}: has more than {MAX_FILE_BYTES} bytes; split it")
    return raw
