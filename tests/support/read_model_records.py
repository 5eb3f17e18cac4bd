"""Records of the topics that the projector reads, as its tests write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from schemas.codec import full_codec
from schemas.topics import Topics

TOPICS = Topics("t")
CODEC = full_codec()

Written = tuple[str, bytes, bytes | None]
"""Topic, key, value."""


def org(name: str = "acme", *, title: str = "Acme Boats", **fields: Any) -> Written:
    record = {"org": name, "name": title, "set_at": 1, "owners": ["someone@example.test"], **fields}
    return TOPICS.orgs, name.encode(), CODEC.encode("OrgSet", record)


def policy(name: str = "acme", version: int = 1, days: int = 30, request_id: str = "r1") -> Written:
    setting = {"category": "messages", "period": f"{days} d"}
    record = {"org": name, "version": version, "settings": [setting], "request_id": request_id, "set_at": version}
    record |= {"template": "soc2", "locked_until": version}
    return TOPICS.policies, name.encode(), CODEC.encode("PolicyState", record)


def old_policy(name: str = "acme", version: int = 1, days: int = 30) -> Written:
    """A version under the key of its own, as each is written a second time."""
    topic, key, value = policy(name, version, days)
    return topic, key + b"\0" + str(version).encode(), value


def job(
    name: str = "acme",
    request_id: str = "r1",
    version: int = 1,
    *,
    parts: Sequence[tuple[int, str, int]] = (),
    **fields: Any,
) -> Written:
    """`parts` are (partition, target, done)."""
    listed = [
        {"partition": p, "target": t, "due": 9, "done": done, "changed": done, "withheld": 0, "failed": 0}
        | {"gone": done, "verified": 0, "exempt": 0, "residual": 0, "blocked_by": "an old transaction"}
        for p, t, done in parts
    ]
    record = {"request_id": request_id, "org": name, "state": "running", "at": version, "version": version}
    value = CODEC.encode("RequestStatus", record | {"parts": listed, "kind": "erase"} | fields)
    return TOPICS.request_status, f"{name}/{request_id}".encode(), value


def hold(name: str = "acme", hold_id: str = "h1", **fields: Any) -> Written:
    record = {
        "org": name,
        "hold_id": hold_id,
        "state": "in_force",
        "grace_days": 30,
        "request_id": "r1",
        "subjects": b"",
    }
    value = CODEC.encode("HoldState", record | {"placed_at": 1, "at": 2} | fields)
    return TOPICS.holds, f"{name}/{hold_id}".encode(), value


def progress(target: str = "crm", partition: int = 0, done: int = 0) -> Written:
    names = "as_of_day batches_sent batches_acked records_sent records_changed pending oldest_due_day closed_records"
    record = dict.fromkeys(names.split(), done) | {"blocked": False, "records_acked": done}
    record |= {"work": "sweep", "target": target, "partition": partition}
    return TOPICS.progress, f"sweep/{target}/{partition}".encode(), CODEC.encode("Progress", record)


def tombstone(written: Written) -> Written:
    topic, key, _ = written
    return topic, key, None


def one_record() -> st.SearchStrategy[Written]:
    """Any readable record of a few keys, so that keys repeat; also tombstones."""
    orgs = st.sampled_from(["acme", "globex", "a/b"])
    number = st.integers(0, 5)
    part = st.tuples(st.integers(0, 2), st.sampled_from(["crm", "feed"]), number)
    made = st.one_of(
        st.builds(lambda o, t: org(o, title=t), orgs, st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
        st.builds(policy, orgs, number, st.integers(1, 99)),
        st.builds(old_policy, orgs, number),
        st.builds(
            lambda o, r, v, p, d: job(o, r, v, parts=p, detail=d),
            orgs,
            st.sampled_from(["r1", "r2"]),
            number,
            st.lists(part, max_size=3),
            st.sampled_from(["{}", '{"n": 1e3}', '{"a": {"b": [1, null, "é"]}}']),
        ),
        st.builds(lambda o, h, s: hold(o, h, subjects=b"x" * 8 * s), orgs, st.sampled_from(["h1", "h2"]), number),
        st.builds(progress, st.sampled_from(["crm", "feed"]), st.integers(0, 1), number),
    )
    return st.builds(lambda written, gone: tombstone(written) if gone else written, made, st.sampled_from([0, 0, 0, 1]))
