"""Reads a YAML file strictly, with the line of everything: the ground that `schemas.datamap` stands on.

Only plain mappings, scalars and lists of scalars: no tags, no anchors (a small file could grow without end through
them), no key twice. Every error is a BadFile that says file, line, what is wrong and the fix.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from schemas.errors import Refused

MAX_BYTES: Final = 1 << 20
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")


class BadFile(Refused):
    """A configuration file is not as it must be: `file:line: what; fix`."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file, and what stands there, such as `categories.messages`."""

    file: str
    line: int
    path: str = ""

    def refuse(self, what: str) -> BadFile:
        """Return the error to raise."""
        return BadFile(f"{self.file}:{self.line}: {what}")


def near(word: str, words: Collection[str]) -> str:
    """Return `; did you mean 'x'?`, or what there is."""
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(sorted(words))}" if words else ""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it is written. `null` is YAML's null, or nothing at all."""

    text: str
    where: Where
    null: bool = False

    def number(self) -> int:
        """Return a whole number. Raises BadFile."""
        if not re.fullmatch(r"\d{1,9}", self.text):
            raise self.where.refuse(f"{self.where.path} is {self.text!r}; it must be a whole number")
        return int(self.text)

    def filled(self, variables: Mapping[str, str]) -> str:
        """Return the text with each `${NAME}` replaced from `variables`. Raises BadFile naming what is missing."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if not _NAME.fullmatch(name):
                raise self.where.refuse(
                    f"'${{{name}}}' in {self.where.path} is no name; write capitals, such as ${{DSN}}"
                )
            if name not in variables:
                raise self.where.refuse(f"${{{name}}} in {self.where.path} is not set; set {name} in the environment")
            return variables[name]

        return _VARIABLE.sub(value, self.text)


@dataclass(frozen=True, slots=True)
class Words:
    """A list of single values."""

    items: tuple[Scalar, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping. Each of its keys was written once, as text."""

    entries: Mapping[str, Scalar | Words | Table]
    lines: Mapping[str, Where]
    where: Where

    def only(self, *keys: str) -> Table:
        """Return itself if it has no other keys. Raises BadFile, with the key that was probably meant."""
        for key in self.entries:
            if key not in keys:
                raise self.lines[key].refuse(f"unknown key {key!r} in {self.where.path or 'the file'}{near(key, keys)}")
        return self

    def scalar(self, key: str) -> Scalar | None:
        """Return a value, None if it is left out or null. Raises BadFile if it is a mapping."""
        found = self.entries.get(key)
        if isinstance(found, Table | Words):
            raise found.where.refuse(f"{found.where.path} must be a single value, not a mapping or a list")
        return None if found is None or found.null else found

    def must(self, key: str, example: str) -> Scalar:
        """Return a value that may not be left out. Raises BadFile, with an example."""
        found = self.scalar(key)
        if found is None:
            raise self.where.refuse(f"{self.where.path or 'the file'} has no {key!r}; add `{key}: {example}`")
        return found

    def table(self, key: str) -> Table | None:
        """Return a mapping, None if it is left out or null. Raises BadFile if it is a single value."""
        found = self.entries.get(key)
        if isinstance(found, Scalar) and found.null:
            return None
        if isinstance(found, Scalar | Words):
            raise found.where.refuse(f"{found.where.path} must be a mapping of keys to values")
        return found

    def words(self, key: str) -> tuple[Scalar, ...]:
        """Return a list of single values, empty if it is left out. Raises BadFile."""
        found = self.entries.get(key)
        if isinstance(found, Words):
            return found.items
        if found is None or (isinstance(found, Scalar) and found.null):
            return ()
        raise found.where.refuse(f"{found.where.path} must be a list, such as [one, two]")

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yield every entry as a mapping; null is an empty one. Raises BadFile."""
        for key in self.entries:
            yield key, self.table(key) or Table({}, {}, self.lines[key])


def read_yaml(path: Path, file: str | None = None) -> Table:
    """Read one document. `file` is how errors call it. Raises BadFile."""
    name = file or path.name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); give the path of a readable file") from error
    if len(raw) > MAX_BYTES:
        raise BadFile(f"{name}: has {len(raw)} bytes; at most {MAX_BYTES} are read")
    try:
        text = raw.decode()
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise Where(name, line).refuse("anchors and aliases (& and *) are not read; write the value out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Where(name, mark.line + 1 if mark else 1).refuse(f"is not YAML: {error.problem}; mend it there") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Where(name, line).refuse("is not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Where(name, 1).refuse(f"is not YAML that is read here ({type(error).__name__})") from None
    if not isinstance(node, yaml.MappingNode):
        raise Where(name, 1).refuse("must be a mapping with `version`, `targets` and `categories`")
    return _table(node, Where(name, node.start_mark.line + 1))


def _table(node: yaml.MappingNode, where: Where) -> Table:
    _check_tag(node, where, "map")
    entries: dict[str, Scalar | Words | Table] = {}
    lines: dict[str, Where] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise Where(where.file, line).refuse(f"a key in {where.path or 'the file'} is not text; write a plain word")
        key = key_node.value
        here = Where(where.file, line, f"{where.path}.{key}" if where.path else key)
        if key in entries:
            raise here.refuse(f"key {key!r} is there twice in {where.path or 'the file'}; remove one")
        lines[key] = here
        entries[key] = _value(value_node, here)
    return Table(entries, lines, where)


def _value(node: yaml.Node, where: Where) -> Scalar | Words | Table:
    if isinstance(node, yaml.MappingNode):
        return _table(node, where)
    if isinstance(node, yaml.ScalarNode):
        _check_tag(node, where, "null", "str", "int", "bool", "float", "timestamp")
        return Scalar(node.value, where, node.tag == "tag:yaml.org,2002:null")
    _check_tag(node, where, "seq")
    items = [_value(item, Where(where.file, item.start_mark.line + 1, where.path)) for item in node.value]
    words = tuple(item for item in items if isinstance(item, Scalar) and not item.null)
    if len(words) != len(items):
        raise where.refuse(f"{where.path} must list single values only")
    return Words(words, where)


def _check_tag(node: yaml.Node, where: Where, *kinds: str) -> None:
    if node.tag not in {f"tag:yaml.org,2002:{kind}" for kind in kinds}:
        raise where.refuse(f"tag {node.tag!r} at {where.path or 'the file'} is not read; leave tags out")
