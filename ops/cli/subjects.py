"""Where commands take subject ids from: arguments, a file, standard input. They are never printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

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
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise BadSubjects(f"{file}: has more than {MAX_FILE_BYTES} bytes; split it")
        lines.feed(raw)
        return lines.end()
    except OSError as e:
        raise BadSubjects(f"{file}: cannot be read ({e.strerror}); give the path of a readable file") from None
    except BadLine as bad:
        raise BadSubjects(f"{file}: {bad}: nothing was sent") from None
