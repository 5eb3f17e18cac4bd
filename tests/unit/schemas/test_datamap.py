"""A data map is taken whole or refused with file, line and fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.datamap import DataMap, load_data_map
from schemas.plans import BadPlan, FieldAction, KafkaPlan, KeyTemplate, PostgresPlan
from schemas.policy import Setting
from schemas.rules import Backups, Regime, Requester, Rules
from schemas.s3plan import ObjectTemplate, Replacement, S3Plan
from schemas.yamlmap import MAX_BYTES, BadFile

DEMO_MAP = Path(__file__).parents[3] / "ops" / "demo" / "datamap.yaml"

GOOD = """\
version: 1
template: vantage
producers: [crm, chat]
targets:
  crm: {kind: postgres, dsn: "${DSN}", schema: app}
  profiles: {kind: kafka}
  billing: {kind: consumer}
  files:
    kind: s3
    endpoint: "${S3}"
    region: eu-central-1
    bucket: media
    access_key: "${S3_KEY}"
    secret_key: "${S3_SECRET}"
    replicas: [media-copy]
categories:
  messages:
    retention: {period: "60 d"}
    targets:
      crm:
        table: messages
        key: id
        org: org_id
        subject: user_id
        created: created_at
        hidden: hidden_at
        where: {kind: text}
        anonymise: {body: {replace: "[erased]"}, email: {hash: true}, phone: {mask: true}, note: {null: true}}
        rectify: [body, email]
      billing: {anonymise: {name: mask}}
  logs.audit:
    targets:
      profiles: {topic: app.profiles, key: "{org}/{id}", subject: user.id, rectify: [user.name]}
  invoices:
    parent: contract
    targets:
      billing: {}
  media:
    targets:
      files: {key: "{org}/media/{id}", subject: user-id, created: made, anonymise: {replace: "[erased]"}}
  files:
    targets:
      files: {prefix: "{org}/files/{id}/", anonymise: {base64: aGk=, content_type: image/png}}
"""
VARIABLES = {
    "DSN": "postgresql://u:secret@db/x",
    "S3": "https://s3.example.org/",
    "S3_KEY": "key",
    "S3_SECRET": "hush",
}


def load(tmp_path: Path, text: str) -> DataMap:
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return load_data_map(path, VARIABLES)


def test_a_good_map_says_where_everything_lies(tmp_path: Path) -> None:
    m = load(tmp_path, GOOD)

    assert m.producers == ("crm", "chat")
    assert {name: t.kind for name, t in m.targets.items()} == {
        "crm": "postgres",
        "profiles": "kafka",
        "billing": "consumer",
        "files": "s3",
    }
    assert m.plans["messages", "crm"] == PostgresPlan(
        category="messages",
        target="crm",
        schema="app",
        table="messages",
        key="id",
        org="org_id",
        subject="user_id",
        created="created_at",
        hidden="hidden_at",
        where={"kind": "text"},
        anonymise={
            "body": FieldAction("replace", "[erased]"),
            "email": FieldAction("hash"),
            "phone": FieldAction("mask"),
            "note": FieldAction("null"),
        },
        rectify=("body", "email"),
    )
    assert m.plans["logs.audit", "profiles"] == KafkaPlan(
        category="logs.audit",
        target="profiles",
        topic="app.profiles",
        key=KeyTemplate("{org}/{id}"),
        subject="user.id",
        rectify=("user.name",),
    )
    assert set(m.plans_of("billing")) == {"messages", "invoices"}
    assert m.targets["files"].replicas == ("media-copy",)
    assert m.plans["media", "files"] == S3Plan(
        category="media",
        target="files",
        bucket="media",
        template=ObjectTemplate("{org}/media/{id}"),
        subject="user-id",
        created="made",
        anonymise=Replacement(b"[erased]", "text/plain; charset=utf-8"),
    )
    assert m.plans["files", "files"] == S3Plan(
        category="files",
        target="files",
        bucket="media",
        template=ObjectTemplate("{org}/files/{id}/"),
        anonymise=Replacement(b"hi", "image/png"),
    )


def test_its_rules_hold_defaults_parents_and_targets(tmp_path: Path) -> None:
    rules = load(tmp_path, GOOD).rules(version=2, sources={"ebbtide.lifecycle": 4})

    assert rules.categories["messages"].default == Setting(category="messages", period="60 d")
    assert rules.categories["messages"].targets == ("billing", "crm")
    assert rules.categories["messages"].can_anonymise
    assert (rules.categories["messages"].hides, rules.categories["media"].hides) == (("crm",), ())
    assert rules.categories["messages"].rectify == {"crm": ("body", "email")}
    assert rules.categories["logs.audit"].rectify == {"profiles": ("user.name",)}
    assert Rules.from_json(rules.to_json()) == rules
    assert [c.name for c in rules.lineage("logs.audit")] == ["logs.audit", "logs"]
    assert [c.name for c in rules.lineage("invoices")] == ["invoices", "contract"]
    assert rules.accepts("conversations")
    assert not rules.accepts("logs")


def test_the_demos_map_is_good() -> None:
    s3 = {"ENDPOINT": "http://127.0.0.1:1", "REGION": "r", "BUCKET": "media", "ACCESS_KEY": "a", "SECRET_KEY": "s"}
    m = load_data_map(
        DEMO_MAP, {"EBBTIDE_POSTGRES_DSN": "postgresql://x"} | {f"EBBTIDE_S3_{k}": v for k, v in s3.items()}
    )

    assert {t.kind for t in m.targets.values()} == {"postgres", "kafka", "consumer", "s3"}


def test_a_password_in_a_targets_address_does_not_show(tmp_path: Path) -> None:
    m = load(tmp_path, GOOD)

    assert m.targets["crm"].options["dsn"] == VARIABLES["DSN"]
    assert m.targets["files"].options["secret_key"] == "hush"
    assert "u:secret" not in repr(m)
    assert "hush" not in repr(m)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("table:", "tabel:", 21, "unknown key 'tabel' in CRM; did you mean 'table'?"),
        ("hidden_at", "org_id", 26, "column 'org_id' says whether a row is hidden, and cannot be key, org, where or"),
        ("hidden_at", "kind", 26, "column 'kind' says whether a row is hidden, and cannot be key, org, where or"),
        ("hidden_at", "body", 26, "column 'body' says whether a row is hidden, and cannot be key, org, where or"),
        ("version: 1", "version: 2", 1, "version 2 is not known here; write version: 1"),
        ("version: 1", "vresion: 1", 1, "unknown key 'vresion' in the file; did you mean 'version'?"),
        ("version: 1\n", "", 1, "the file has no 'version'; add `version: 1`"),
        ("template: vantage", "template: vantag", 2, "template 'vantag' is unknown; did you mean 'vantage'?"),
        ("[crm, chat]", "crm", 3, "producers must be a list, such as [one, two]"),
        ("[crm, chat]", "[crm, 'a b']", 3, "producer 'a b': a producer's name is lower-case letters"),
        ("kind: kafka", "kind: kafak", 6, "kind 'kafak' of target 'profiles' is unknown; did you mean 'kafka'?"),
        ("${DSN}", "${DNS}", 5, "${DNS} in targets.crm.dsn is not set; set DNS in the environment"),
        ("${DSN}", "${dsn}", 5, "'${dsn}' in targets.crm.dsn is no name; write capitals"),
        (', dsn: "${DSN}"', "", 5, "targets.crm has no 'dsn'; add `dsn:"),
        ("schema: app", "schema: 'a b'", 5, "'a b' is not a schema's name"),
        ("schema: app", "vacuum: ful", 5, "targets.crm.vacuum is 'ful'; did you mean 'full'?"),
        ("schema: app", "vacuum_every_s: 0", 5, "targets.crm.vacuum_every_s is 0; write seconds, from 1 to 86400"),
        ("kind: kafka", "kind: kafka, nudge_key: ''", 6, "targets.profiles.nudge_key is empty or long"),
        ("kind: kafka", "kind: kafka, vacuum: off", 6, "unknown key 'vacuum' in targets.profiles"),
        ("  billing: {kind", "  Billing: {kind", 7, "'Billing' is not a target's name"),
        (
            "billing: {anonymise",
            "biling: {anonymise",
            30,
            "target 'biling' of category 'messages' is not declared; did",
        ),
        (
            '{topic: app.profiles, key: "{org}/{id}", subject: user.id, rectify: [user.name]}',
            "{}",
            33,
            "category 'logs.audit' has no plan",
        ),
        ("    targets:\n      billing: {}\n", "", 34, "category 'invoices' has no plan for any target"),
        ("parent: contract", "parent: contrat", 34, "parent 'contrat' of category 'invoices' is unknown; did you mean"),
        ("parent: contract", "parent: invoices", 34, "category 'invoices' is below itself; mend `parent`"),
        ("    parent: contract\n", "", 34, "category 'invoices' has no retention"),
        ("  invoices:", "  in voices:", 34, "'in voices' is not a category's name"),
        ("  invoices:", "  conversations:", 34, "'conversations' is another name of 'messages'; write messages"),
        ("  invoices:", "  messages:", 34, "key 'messages' is there twice in categories; remove one"),
        ('"60 d"', "soon", 18, "category 'messages': period: 'soon' is not a period; write '90 d'"),
        ('"60 d"', "none_kept", 18, "category 'messages': period 'none_kept' is for templates only"),
        ('"60 d"', '"60 d", action: archive', 18, "category 'messages': action: 'archive' is not supported yet"),
        (
            '"60 d"',
            '"60 d", perid: 1',
            18,
            "unknown key 'perid' in categories.messages.retention; did you mean 'period'?",
        ),
        ('{period: "60 d"}', "60 d", 18, "categories.messages.retention must be a mapping"),
        ("table: messages", 'table: "messages; drop table x"', 21, "CRM.table: 'messages; drop"),
        ("table: messages", "table: pg_authid", 21, "CRM.table: 'pg_authid' belongs to PostgreSQL"),
        ("table: messages", "table: information_schema.x", 21, "CRM.table: 'information_schema.x'"),
        ("key: id\n", "key: id--\n", 22, "CRM.key: 'id--' is not a column's name"),
        ("org: org_id", "org: 'a\"b'", 23, "CRM.org: 'a\"b' is not a column's name"),
        ("org: org_id\n", "org:\n", 20, "CRM has no 'org'; add `org: org_id`"),
        ("where: {kind: text}", "where: {'1=1 or x': y}", 27, "CRM.where: '1=1 or x' is not"),
        ("where: {kind: text}", "where: kind = 1", 27, "CRM.where must be a mapping"),
        ("{body:", "{id:", 28, "column 'id' is how a row is found again (key or org) and cannot be anonymised"),
        ("rectify: [body", "rectify: [id", 29, "column 'id' says which record a row is, whose, or whether it is seen"),
        ("rectify: [body", "rectify: [hidden_at", 29, "column 'hidden_at' says which record a row is, whose, or"),
        ("rectify: [body", "rectify: ['a b'", 29, "CRM.rectify: 'a b' is not a column's name"),
        (
            "rectify: [user.name]",
            "rectify: [user..name]",
            33,
            "PROFILES.rectify: 'user..name' is not a field of a JSON value",
        ),
        ("billing: {anonymise: {name: mask}}", "billing: {rectify: [name]}", 30, "unknown key 'rectify' in"),
        ("phone: {mask", "phone: {maks", 28, "unknown key 'maks' in CRM.anonymise.phone"),
        ("phone: {mask: true}", "phone: {mask: no}", 28, "CRM.anonymise.phone.mask is 'no'"),
        ("phone: {mask: true}", "phone: replace", 28, "CRM.anonymise.phone is 'replace'"),
        ("{org}/{id}", "{org}{id}", 33, "PROFILES.key: key template '{org}{id}' must"),
        ("{org}/{id}", "{id}", 33, "PROFILES.key: key template '{id}' must hold"),
        ("app.profiles", "__consumer_offsets", 33, "PROFILES.topic: '__consumer_offsets'"),
        ("app.profiles", "'a/b'", 33, "PROFILES.topic: 'a/b' is not a topic's name"),
        ("subject: user.id", "subject: user..id", 33, "PROFILES.subject: 'user..id' is"),
        (
            '    endpoint: "${S3}"\n',
            "",
            8,
            "targets.files has no 'endpoint'; add `endpoint: \"${EBBTIDE_S3_ENDPOINT}\"`",
        ),
        (
            '"${S3}"',
            "s3.example.org",
            10,
            "targets.files.endpoint: it is no address of an S3 endpoint; write `https://",
        ),
        ('"${S3}"', '"${S4}"', 10, "${S4} in targets.files.endpoint is not set; set S4 in the environment"),
        ("eu-central-1", "'eu central'", 11, "targets.files.region: 'eu central' is not a region's name"),
        ("bucket: media", "bucket: Media", 12, "targets.files.bucket: 'Media' is not a bucket's name"),
        ("bucket: media", "bukcet: media", 12, "unknown key 'bukcet' in targets.files; did you mean 'bucket'?"),
        ('"${S3_SECRET}"', "hush", 14, "targets.files.secret_key must come from the environment: write `secret_key: "),
        ('"${S3_KEY}"', "AKIA-${S3_KEY}", 13, "targets.files.access_key must come from the environment"),
        ("[media-copy]", "media-copy", 15, "targets.files.replicas must be a list, such as [one, two]"),
        ("[media-copy]", "[media]", 15, "targets.files.replicas names bucket 'media' twice; leave one out"),
        ("[media-copy]", "[b, media-copy]", 15, "targets.files.replicas: 'b' is not a bucket's name"),
        ("{org}/media/{id}", "{org}/media", 40, "MEDIA.key: template '{org}/media' must hold {org} and {id} once each"),
        ("{org}/media/{id}", "{org}{id}", 40, "MEDIA.key: template '{org}{id}' must hold"),
        ("{org}/media/{id}", "/{org}/{id}", 40, "MEDIA.key: template '/{org}/{id}' must be a path without a leading"),
        ("{org}/media/{id}", "{org}/../{id}", 40, "MEDIA.key: template '{org}/../{id}' must be a path"),
        (
            "{org}/media/{id}",
            "{org}/media/{id}/",
            40,
            "MEDIA.key: template '{org}/media/{id}/' names a prefix; write it",
        ),
        (
            "{org}/files/{id}/",
            "{org}/files/{id}",
            43,
            "FILES.prefix: template '{org}/files/{id}' names one object; end",
        ),
        ("{prefix:", '{key: "{org}/f/{id}", prefix:', 43, "FILES has both key and prefix; write key where"),
        ('{prefix: "{org}/files/{id}/", ', "{", 43, "FILES has no 'key'; add `key: \"{org}/media/{id}\"`"),
        ("prefix:", "prefxi:", 43, "unknown key 'prefxi' in FILES; did you mean 'prefix'?"),
        (
            '{prefix: "{org}/files/{id}/"',
            '{key: "{org}/media/{id}"',
            43,
            "categories 'media' and 'files' have the same",
        ),
        ("subject: user-id", "subject: x-amz-meta-user", 40, "MEDIA.subject: 'x-amz-meta-user' is not a name of user"),
        ("created: made", "created: Made", 40, "MEDIA.created: 'Made' is not a name of user metadata"),
        (
            '{replace: "[erased]"}}\n  files',
            "{}}\n  files",
            40,
            "MEDIA.anonymise must say one thing, {replace: text} or",
        ),
        ('{replace: "[erased]"}}\n  files', "{mask: true}}\n  files", 40, "unknown key 'mask' in MEDIA.anonymise"),
        ("{base64: aGk=,", "{base64: aGk=, replace: x,", 43, "FILES.anonymise must say one thing"),
        ("aGk=", "aGk", 43, "FILES.anonymise.base64 is not base64; encode the bytes again"),
        ("image/png", "'a\tb'", 43, "FILES.anonymise.content_type: 'a\\tb' is not a content type"),
        ("template: vantage", "template: &x vantage", 2, "anchors and aliases (& and *) are not read"),
        ("template: vantage", "template: !!python/name:os.system vantage", 2, "tag 'tag:yaml.org,2002:python/name"),
        ("producers: [crm, chat]", "producers: [crm, chat", 4, "is not YAML: "),
    ],
)
def test_a_wrong_map_is_refused_with_file_line_and_fix(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    places = {"CRM": "categories.messages.targets.crm", "PROFILES": "categories.logs.audit.targets.profiles"}
    places |= {"MEDIA": "categories.media.targets.files", "FILES": "categories.files.targets.files"}
    for short, place in places.items():
        message = message.replace(short, place)

    with pytest.raises(BadFile) as refused:
        load(tmp_path, GOOD.replace(old, new, 1))

    assert str(refused.value).startswith(f"map.yaml:{line}: {message}")


def test_a_category_to_be_anonymised_needs_fields_in_each_of_its_targets(tmp_path: Path) -> None:
    text = GOOD.replace('"60 d"', '"60 d", action: anonymise').replace("{anonymise: {name: mask}}", "{}")

    with pytest.raises(BadFile, match=r"map\.yaml:17: category 'messages' is to be anonymised, but not each of its"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "map.yaml:1: must be a mapping"),
        (b"- a\n", "map.yaml:1: must be a mapping"),
        (b"a: 1\nb: \xff\n", "map.yaml:2: is not UTF-8"),
        (b"a: [" * 5000, "map.yaml:1: is not YAML"),
        (b"a: 1\n---\nb: 1\n", "map.yaml:2: is not YAML"),
        (b"a: \x00\n", "map.yaml:1: is not YAML"),
        (b"#" * (MAX_BYTES + 1), f"map.yaml: has {MAX_BYTES + 1} bytes"),
        (b"version: 1\n", "map.yaml:1: the file has no 'targets'"),
        (b"version: 1\ntargets: {a: {kind: kafka}}\n", "map.yaml:1: the file has no 'categories'"),
    ],
    ids=["empty", "list", "not utf-8", "deep", "two documents", "control", "huge", "no targets", "no categories"],
)
def test_what_is_no_map_at_all_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_bytes(raw)

    with pytest.raises(BadFile) as refused:
        load_data_map(path)

    assert str(refused.value).startswith(message)


def test_a_file_that_is_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere\.yaml: cannot be read \(No such file"):
        load_data_map(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("template", "key", "found"),
    [
        ("{org}/{id}", b"acme/17", ("acme", "17")),
        ("{org}/{id}", b"acme/17/18", ("acme", "17/18")),
        ("{id}@{org}", b"17@acme", ("acme", "17")),
        ("u:{org}:{id}.json", b"u:acme:17.json", ("acme", "17")),
        ("{org}/{id}", b"acme", None),
        ("{org}/{id}", b"/17", None),
        ("{org}/{id}", b"acme/", None),
        ("u:{org}:{id}", b"v:acme:17", None),
        ("ab{org}/{id}ba", b"aba", None),
        ("{org}/{id}", b"\xff/1", None),
    ],
)
def test_a_key_is_read_back_only_if_its_template_can_have_made_it(
    template: str, key: bytes, found: tuple[str, str] | None
) -> None:
    assert KeyTemplate(template).parse(key) == found


@pytest.mark.parametrize("text", ["", "{org}", "{org}{id}", "{org}/{id}/{id}", "{org}/{id}/{x}", "{}/{org}/{id}"])
def test_a_template_by_which_two_orgs_could_share_a_key_cannot_be_made(text: str) -> None:
    with pytest.raises(BadPlan, match="once each, with text between them"):
        KeyTemplate(text)


KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1


def test_requesters_and_safety_go_into_the_rules(tmp_path: Path) -> None:
    text = (
        GOOD
        + f"""\
requesters:
  portal: {{public_key: "{KEY.upper()}", orgs: [acme, globex], kinds: [erase, hold]}}
  back-office: {{public_key: "{KEY}", orgs: all, kinds: all}}
safety: {{approval_over: 100, approve_deletes: true, verify_identity: true, complete_at: gone, verify_percent: 20}}
regimes: {{lgpd: {{days: 15}}, ours: {{days: 20, extension_days: 10}}}}
"""
    )

    rules = load(tmp_path, text).rules(version=1, sources={})

    assert rules.requesters == {
        "portal": Requester(public_key=KEY, orgs=("acme", "globex"), kinds=("erase", "hold")),
        "back-office": Requester(public_key=KEY),
    }
    assert (rules.approval_over, rules.approve_deletes, rules.verify_identity) == (100, True, True)
    assert (rules.complete_at, rules.verify_percent) == ("gone", 20)
    assert rules.regimes == {"lgpd": Regime(days=15), "ours": Regime(days=20, extension_days=10)}


def test_nobody_may_ask_and_nothing_waits_for_approval_unless_the_map_says_so(tmp_path: Path) -> None:
    rules = load(tmp_path, GOOD).rules(version=1, sources={})

    assert (rules.requesters, rules.approval_over, rules.approve_deletes) == ({}, 0, False)


def test_an_erasure_is_done_when_it_is_verified_and_little_of_the_sweep_is_proven_unless_the_map_says_so(
    tmp_path: Path,
) -> None:
    rules = load(tmp_path, GOOD).rules(version=1, sources={})

    assert (rules.complete_at, rules.verify_percent) == ("verified", 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("requesters: {portal: {orgs: all, kinds: all}}", "has no 'public_key'"),
        ('requesters: {portal: {public_key: "ab", orgs: all, kinds: all}}', "64 lower-case hex digits"),
        (f'requesters: {{portal: {{public_key: "{"00" * 32}", orgs: all, kinds: all}}}}', "anybody can sign for"),
        (f'requesters: {{portal: {{public_key: "{KEY}", kinds: all}}}}', "names no orgs; add `orgs: [acme]`"),
        (f'requesters: {{portal: {{public_key: "{KEY}", orgs: [], kinds: all}}}}', "names no orgs"),
        (f'requesters: {{portal: {{public_key: "{KEY}", orgs: acme, kinds: all}}}}', "write a list such as"),
        (f'requesters: {{portal: {{public_key: "{KEY}", orgs: all, kinds: [earse]}}}}', "did you mean 'erase'"),
        (f'requesters: {{portal: {{public_key: "{KEY}", orgs: all, kinds: all, role: x}}}}', "unknown key 'role'"),
        (f'requesters: {{installation: {{public_key: "{KEY}", orgs: all, kinds: all}}}}', "the engine's own"),
        (f'requesters: {{"The Portal": {{public_key: "{KEY}", orgs: all, kinds: all}}}}', "lower-case letters"),
        ("safety: {approval_over: many}", "must be a whole number"),
        ("safety: {approve_deletes: perhaps}", "write true or false"),
        ("safety: {complete_at: verifeid}", "did you mean 'verified'"),
        ("safety: {verify_percent: 101}", "write 0 to 100"),
        ("safety: {braek: 3}", "did you mean 'brake'"),
        ("regimes: {lgpd: {}}", "add `days: 30`"),
        ("regimes: {lgpd: {days: 0}}", "days must be from 1 to 365"),
        ("regimes: {lgpd: {days: 15, extension: 2}}", "unknown key 'extension'"),
        ("regimes: {ccpa: {days: 15}}", "is there already"),
        ("regimes: {The Law: {days: 15}}", "lower-case letters"),
    ],
)
def test_who_may_ask_is_refused_with_file_line_and_fix(tmp_path: Path, said: str, why: str) -> None:
    line = GOOD.count("\n") + 1

    with pytest.raises(BadFile, match=rf"^map\.yaml:{line}: ") as refused:
        load(tmp_path, GOOD + said + "\n")

    assert why in str(refused.value)


def test_what_is_said_of_backups_goes_into_the_rules_and_survives_them(tmp_path: Path) -> None:
    text = GOOD.replace("kind: kafka", 'kind: kafka, backups: {keep_days: 30, note: "nightly dumps"}')
    loaded = load(tmp_path, text)

    made = loaded.rules(version=1, sources={})

    assert made.backups == {"profiles": Backups(keep_days=30, note="nightly dumps")}
    assert Rules.from_json(made.to_json()) == made
    older = {name: value for name, value in json.loads(made.to_json()).items() if name != "backups"}
    assert Rules.from_json(json.dumps(older)).backups == {}  # rules of a version that knew of none


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("30", "targets.profiles.backups must be a mapping"),
        ("{}", "targets.profiles.backups has no 'keep_days'; add `keep_days: 30`"),
        ("{keep_days: -1}", "targets.profiles.backups.keep_days is '-1'; it must be a whole number"),
        ("{keep_days: 40000}", "targets.profiles.backups: keep_days is 40000; it must be from 0 to 36500"),
        ("{keep_day: 30}", "unknown key 'keep_day' in targets.profiles.backups; did you mean 'keep_days'?"),
        ('{keep_days: 1, note: "a\\tb"}', "targets.profiles.backups: note must be one line of at most 200"),
    ],
)
def test_what_is_said_wrongly_of_backups_is_refused(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(BadFile) as refused:
        load(tmp_path, GOOD.replace("kind: kafka", f"kind: kafka, backups: {said}"))

    assert str(refused.value).startswith(f"map.yaml:6: {why}")
