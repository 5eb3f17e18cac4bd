"""A plan that the live database cannot carry out is refused before the first batch, with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ops.doctor import hiding_findings
from schemas.datamap import load_data_map
from schemas.errors import Refused
from schemas.plans import FieldAction, PostgresPlan
from sinks.anonymise import Anonymiser
from sinks.postgres import PostgresSink
from tests.integration.targets.test_postgres import PLAN

TABLE = """
    CREATE DOMAIN address AS varchar(20);
    CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, body text, email text UNIQUE, phone varchar(20),
        mail address, amount numeric(9, 2), day date NOT NULL, spot point, naive timestamp, gone timestamptz,
        never timestamptz NOT NULL);
"""


def check(dsn: str, plan: PostgresPlan) -> None:
    sink = PostgresSink("crm", dsn, {"messages": plan}, anonymiser=Anonymiser(b"s" * 32))
    try:
        sink.check()
    finally:
        sink.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "mesages"}, "not in the database"),
        ({"key": "ident"}, "no column 'ident'"),
        ({"key": "spot"}, "cannot name records"),
        ({"where": {"amount": "much"}}, "is no numeric"),
        ({"hidden": "hidden_at"}, "no column 'hidden_at'"),
        ({"hidden": "body"}, "must be timestamptz, and may be null; it is text"),
        ({"hidden": "naive"}, "it is timestamp without time zone"),
        ({"hidden": "never"}, "it is timestamp with time zone not null"),
        ({"anonymise": {"fax": FieldAction("null")}}, "no column 'fax'"),
        ({"anonymise": {"id": FieldAction("null")}}, "cannot be anonymised"),
        ({"anonymise": {"day": FieldAction("null")}}, "use replace"),
        ({"anonymise": {"amount": FieldAction("mask")}}, "need text"),
        ({"anonymise": {"phone": FieldAction("hash")}}, "widen it"),
        ({"anonymise": {"mail": FieldAction("hash")}}, "widen it"),
        ({"anonymise": {"phone": FieldAction("replace", "x" * 21)}}, "longer than 20"),
        ({"anonymise": {"email": FieldAction("replace", "x")}}, "use hash or null"),
        ({"anonymise": {"amount": FieldAction("replace", "none")}}, "is no numeric"),
    ],
)
def test_a_plan_that_can_never_work_is_refused_by_name(database: str, changes: dict[str, object], message: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLE)

    with pytest.raises(Refused, match=message) as refused:
        check(database, replace(PLAN, **changes))  # type: ignore[arg-type]

    assert "public." in str(refused.value)


def test_a_plan_that_fits_is_accepted_with_replacements_of_any_type(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLE)

    check(
        database,
        replace(
            PLAN,
            hidden="gone",
            anonymise={
                "email": FieldAction("hash"),
                "mail": FieldAction("mask"),
                "amount": FieldAction("replace", "0"),
                "day": FieldAction("replace", "2000-01-01"),
                "spot": FieldAction("null"),
            },
        ),
    )


def test_a_role_that_may_not_delete_or_does_not_see_all_rows_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLE)
        connection.execute("DROP ROLE IF EXISTS ebbtide_check")
        connection.execute("CREATE ROLE ebbtide_check LOGIN PASSWORD 'check'")
        connection.execute("CREATE SCHEMA ebbtide_target AUTHORIZATION ebbtide_check")
        connection.execute("GRANT CREATE ON DATABASE {} TO ebbtide_check".format(database.rsplit("/", 1)[1]))
        connection.execute("GRANT SELECT, UPDATE ON messages TO ebbtide_check")
    address = database.split("@")[1]
    dsn = f"postgresql://ebbtide_check:check@{address}"

    try:
        with pytest.raises(Refused, match="GRANT"):
            check(dsn, PLAN)
        with psycopg.connect(database) as connection:
            connection.execute("GRANT DELETE ON messages TO ebbtide_check")
        check(dsn, PLAN)
        with psycopg.connect(database) as connection:
            connection.execute("ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
        with pytest.raises(Refused, match="hides rows"):
            check(dsn, PLAN)
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("DROP OWNED BY ebbtide_check CASCADE")
            connection.execute("DROP ROLE ebbtide_check")


MAP = """
version: 1
targets:
  crm: {kind: postgres, dsn: "${DSN}"}
  feed: {kind: kafka}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id, hidden: HIDDEN}
      feed: {topic: t, key: "{org}/{id}"}
  metrics: {targets: {crm: {table: messages, key: id, org: org_id}}}
"""


@pytest.mark.parametrize(
    ("column", "levels", "text"),
    [("gone", ["watch"], "cannot hide metrics"), ("body", ["watch", "mend"], "must be timestamptz")],
)
def test_the_doctor_says_what_a_deletion_can_hide(
    database: str, tmp_path: Path, column: str, levels: list[str], text: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLE)
    (tmp_path / "map.yaml").write_text(MAP.replace("HIDDEN", column))
    data_map = load_data_map(tmp_path / "map.yaml", {"DSN": database})

    found = list(hiding_findings(data_map, "crm"))
    (kafka,) = hiding_findings(data_map, "feed")

    assert [finding.level for finding in found] == levels
    assert text in found[-1].text
    assert (kafka.level, "cannot hide" in kafka.text) == ("ok", True)
