"""Reads one category's plan for one target from the data map. `schemas.datamap` calls it; see there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from schemas.plans import (
    BadPlan,
    ConsumerPlan,
    FieldAction,
    KafkaPlan,
    KeyTemplate,
    PostgresPlan,
    check_column,
    check_field,
    check_table,
    check_topic,
)
from schemas.s3plan import ObjectTemplate, Replacement, S3Plan, check_content_type, check_metadata
from schemas.yamlmap import Scalar, Table, Words, near

T = TypeVar("T")

Plan = PostgresPlan | KafkaPlan | ConsumerPlan | S3Plan

FIELD_KINDS: Final = ("null", "mask", "hash", "replace")

_POSTGRES: Final = ("table", "key", "org", "subject", "created", "hidden", "where", "anonymise", "rectify")
_KAFKA: Final = ("topic", "key", "subject", "created", "anonymise", "rectify")
_S3: Final = ("key", "prefix", "subject", "created", "anonymise")
_EXAMPLES: Final = {
    "postgres": "{table: ..., key: ..., org: ...}",
    "kafka": '{topic: ..., key: "{org}/{id}"}',
    "s3": '{key: "{org}/media/{id}"}',
}


def read_plan(category: str, target: str, kind: str, options: Mapping[str, str], entry: Table) -> Plan:
    """Return the plan. Raises schemas.yamlmap.BadFile: unknown key, missing value, a name that is not allowed."""
    if kind == "consumer":
        entry.only("anonymise")
        return ConsumerPlan(category=category, target=target, anonymise=_anonymise(entry, check_field))
    if not entry.entries:
        raise entry.where.refuse(
            f"category {category!r} has no plan for target {target!r}; write `{target}: {_EXAMPLES[kind]}`"
        )
    if kind == "postgres":
        return _postgres(category, target, options, entry.only(*_POSTGRES))
    if kind == "s3":
        return _s3(category, target, options, entry.only(*_S3))
    return _kafka(category, target, entry.only(*_KAFKA))


def _postgres(category: str, target: str, options: Mapping[str, str], entry: Table) -> PostgresPlan:
    schema, table = _checked(
        entry.must("table", "messages"), lambda name: check_table(name, options.get("schema", "public"))
    )
    key = _checked(entry.must("key", "id"), check_column)
    org = _checked(entry.must("org", "org_id"), check_column)
    anonymise = _anonymise(entry, check_column)
    fields = entry.table("anonymise")
    for column in (key, org):
        if fields is not None and column in anonymise:
            raise fields.lines[column].refuse(
                f"column {column!r} is how a row is found again (key or org) and cannot be anonymised; leave it out"
            )
    where = entry.table("where")
    hidden = _optional(entry, "hidden", check_column)
    if hidden is not None and hidden in (key, org, *anonymise, *(where.entries if where is not None else ())):
        raise entry.lines["hidden"].refuse(
            f"column {hidden!r} says whether a row is hidden, and cannot be key, org, where or anonymised as well; "
            "give it a column of its own"
        )
    rectify = _rectify(entry, check_column)
    for column in rectify:
        if column in (key, org, hidden, *(where.entries if where is not None else ())):
            raise entry.lines["rectify"].refuse(
                f"column {column!r} says which record a row is, whose, or whether it is seen: nobody may set it; "
                "leave it out"
            )
    return PostgresPlan(
        category=category,
        target=target,
        schema=schema,
        table=table,
        key=key,
        org=org,
        subject=_optional(entry, "subject", check_column),
        created=_optional(entry, "created", check_column),
        hidden=hidden,
        where={}
        if where is None
        else {_name(where, c, check_column): where.must(c, "value").text for c in where.entries},
        anonymise=anonymise,
        rectify=rectify,
    )


def _kafka(category: str, target: str, entry: Table) -> KafkaPlan:
    return KafkaPlan(
        category=category,
        target=target,
        topic=_checked(entry.must("topic", "profiles"), check_topic),
        key=_checked(entry.must("key", '"{org}/{id}"'), KeyTemplate),
        subject=_optional(entry, "subject", check_field),
        created=_optional(entry, "created", check_field),
        anonymise=_anonymise(entry, check_field),
        rectify=_rectify(entry, check_field),
    )


def _s3(category: str, target: str, options: Mapping[str, str], entry: Table) -> S3Plan:
    key, prefix = entry.scalar("key"), entry.scalar("prefix")
    named = prefix or entry.must("key", '"{org}/media/{id}"')
    if key is not None and prefix is not None:
        raise prefix.where.refuse(
            f"{entry.where.path} has both key and prefix; write key where a record is one object, and prefix "
            "where it is all objects below one"
        )
    template = _checked(named, ObjectTemplate)
    if template.whole != (named is prefix):
        raise named.where.refuse(
            f"{named.where.path}: template {named.text!r} names "
            + ("a prefix; write it as `prefix`" if template.whole else "one object; end the prefix with '/'")
        )
    return S3Plan(
        category=category,
        target=target,
        bucket=options["bucket"],
        template=template,
        subject=_optional(entry, "subject", check_metadata),
        created=_optional(entry, "created", check_metadata),
        anonymise=_replacement(entry),
    )


def _replacement(entry: Table) -> Replacement | None:
    """Return what an anonymised object becomes: `{replace: text}` or `{base64: bytes}`, and a content type."""
    said = entry.table("anonymise")
    if said is None:
        return None
    said.only("replace", "base64", "content_type")
    text, raw, kind = said.scalar("replace"), said.scalar("base64"), said.scalar("content_type")
    if (text is None) == (raw is None):
        raise said.where.refuse(
            f"{said.where.path} must say one thing, {{replace: text}} or {{base64: bytes}}: an object is replaced whole"
        )
    try:
        body = base64.b64decode(raw.text, validate=True) if raw is not None else text.text.encode() if text else b""
    except (binascii.Error, ValueError):
        raise said.lines["base64"].refuse(f"{said.where.path}.base64 is not base64; encode the bytes again") from None
    default = "text/plain; charset=utf-8" if raw is None else "application/octet-stream"
    content_type = default if kind is None else _checked(kind, check_content_type)
    try:
        return Replacement(body, content_type)
    except BadPlan as error:
        raise said.where.refuse(f"{said.where.path}: {error}") from None


def _anonymise(entry: Table, check: Callable[[str], str]) -> dict[str, FieldAction]:
    fields = entry.table("anonymise")
    if fields is None:
        return {}
    return {_name(fields, name, check): _action(fields, name) for name in fields.entries}


def _rectify(entry: Table, check: Callable[[str], str]) -> tuple[str, ...]:
    """Return the fields that may be set to what a person says."""
    return tuple(dict.fromkeys(_checked(word, check) for word in entry.words("rectify")))


def _action(fields: Table, name: str) -> FieldAction:
    value = fields.entries[name]
    if isinstance(value, Scalar):  # the short form: `phone: mask`
        kind = "null" if value.null else value.text
        if kind not in FIELD_KINDS or kind == "replace":
            raise value.where.refuse(f"{value.where.path} is {kind!r}; write null, mask, hash or {{replace: text}}")
        return FieldAction(kind)
    if isinstance(value, Words) or len(value.entries) != 1:
        raise value.where.refuse(f"{value.where.path} must say one thing, such as {{mask: true}} or {{replace: text}}")
    (kind,) = value.entries
    if kind not in FIELD_KINDS:
        raise value.lines[kind].refuse(f"unknown key {kind!r} in {value.where.path}{near(kind, FIELD_KINDS)}")
    if kind == "replace":
        return FieldAction(kind, value.must(kind, '"[erased]"').text)
    told = value.must(kind, "true")
    if told.text.lower() != "true":
        raise told.where.refuse(f"{told.where.path} is {told.text!r}; write true, or leave the field out")
    return FieldAction(kind)


def _optional(entry: Table, key: str, check: Callable[[str], str]) -> str | None:
    value = entry.scalar(key)
    return None if value is None else _checked(value, check)


def _checked(value: Scalar, check: Callable[[str], T]) -> T:
    try:
        return check(value.text)
    except BadPlan as error:
        raise value.where.refuse(f"{value.where.path}: {error}") from None


def _name(table: Table, key: str, check: Callable[[str], str]) -> str:
    try:
        return check(key)
    except BadPlan as error:
        raise table.lines[key].refuse(f"{table.where.path}: {error}") from None
