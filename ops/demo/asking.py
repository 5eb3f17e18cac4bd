"""The demo's second act: what an owner may ask for, over HTTP alone, and what then becomes of each record.

    preview ─ hold ─ policy ─ release   what is erased is what the preview counted; nothing held goes before its release
    erase people                        theirs go in every store, nobody else's
    export                              all that is left is in the archive, its bytes are what the manifest says
    delete, cancel                      the org is hidden where stores can hide, and then everything is as it was
    delete                              no value of the org is left anywhere, all others are untouched
    certificates (`ops.demo.certified`) each erasure's, checked with the public key alone

Each step ends with the stores read again and compared with what was to be expected, record by record.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ops.demo.caller import Caller
from ops.demo.people import DAY_S, Record
from ops.demo.stores import ERASED, KEPT, media_of
from ops.demo.waiting import last_look

ASKING: Final = "umbra"
"""The org of the second act."""
ASKING_NAME: Final = "Umbra Quays"
SHORTER_DAYS: Final = 30
HELD, FORGOTTEN = 20, 10
"""How many people a hold names, and how many ask to be forgotten."""

Seen = Mapping[str, str]
"""Record id to what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was asked for. `facts` are counts that `--json` shows, `differences` records not as expected.

    `job`: the id of the erasure that it was, which is certified.
    """

    name: str
    facts: Mapping[str, Any]
    differences: int
    job: str = ""

    @property
    def ok(self) -> bool:
        return self.differences == 0


@dataclass(slots=True, kw_only=True)
class Asking:
    """The act. `records` are all of the demo's, `observe` reads the stores; `expected` is what they must hold.

    `visible` counts rows and objects of the org that its services see in stores which can hide.
    """

    caller: Caller
    records: Sequence[Record]
    observe: Callable[[], Seen]
    visible: Callable[[], int]
    expected: dict[str, str]
    now_s: int
    show: Callable[[str, int, int], None]
    limit_s: float
    steps: list[Step] = field(default_factory=list)

    def run(self) -> list[Step]:
        """Ask for everything in turn; return what each came to. Raises Unexpected where the API refuses."""
        acts = (self._change, self._forget, self._export, self._call_off, self._delete)
        for number, act in enumerate(acts):
            self.show("requests", number, len(acts))
            self.steps.append(act())
        self.show("requests", len(acts), len(acts))
        return self.steps

    def _change(self) -> Step:
        """A shorter period, previewed, with a hold placed before it and released after."""
        late = [r for r in self._left("messages") if r.created_s // DAY_S + SHORTER_DAYS < self.now_s // DAY_S]
        held = sorted({r.user for r in late})[:HELD]
        counted = self.caller.done("POST", "/retention/preview", {"messages_days": SHORTER_DAYS})
        found = counted["detail"]["categories"]["messages"]["records"]
        hold = {"hold_id": "case-1", "subjects": held, "grace_days": 0}
        placed = self.caller.done("POST", "/holds", hold)
        self.caller.call("PUT", "/retention", {"messages_days": SHORTER_DAYS})
        self._expect_gone(r for r in late if r.user not in held)
        differ = self._compare()
        kept = sum(r.user in held for r in late)
        self.caller.done("POST", "/holds/case-1/release")
        self._expect_gone(late)
        differ += self._compare() + abs(found - len(late)) + (placed["state"] != "completed")
        return Step(
            name="policy with a hold",
            facts={"preview": found, "erased": len(late) - kept, "held": kept, "erased_after_release": kept},
            differences=differ,
        )

    def _forget(self) -> Step:
        """Some people ask to be forgotten."""
        people = sorted({r.user for r in self._left()})[:FORGOTTEN]
        theirs = [r for r in self._left() if r.user in people]
        job = self.caller.done("POST", "/requests", {"type": "erasure", "subjects": people})
        self._expect_gone(theirs)
        differ = self._compare() + (job["state"] != "completed")
        return Step(
            name="erasure of people",
            facts={"people": len(people), "found": job["detail"]["found"], "erased": len(theirs)},
            differences=differ,
            job=job["id"],
        )

    def _export(self) -> Step:
        """All that is left is copied; what the outside service keeps is not ours to read, and is said to be missing."""
        job = self.caller.done("POST", "/export", {"format": "json", "include_media": True})
        files = [(file, self.caller.fetch(file["href"])) for file in job["files"]]
        wrong = sum(hashlib.sha256(content).hexdigest() != file["sha256"] for file, content in files)
        exported = {
            str(row.get("id", row.get("record_id")))
            for file, content in files
            if file["name"].endswith(".jsonl.gz") and "missing" not in file["name"]
            for row in map(json.loads, gzip.decompress(content).splitlines())
        }
        media = {
            name: body for file, content in files if file["name"].endswith(".zip") for name, body in unzipped(content)
        }
        left, pictures = self._left("messages", "logs", "content"), self._left("media")
        wrong += len({r.id for r in left} - exported) + len({media_of(r) for r in pictures} ^ set(media.values()))
        facts = {"files": len(files), "rows": len(exported), "media": len(media), "missing": job["detail"]["reasons"]}
        return Step(name="export", facts=facts, differences=wrong)

    def _call_off(self) -> Step:
        """The org is to be deleted, and then it is not."""
        before = self.visible()
        asked = self.caller.call("POST", "/delete", {"confirm_org_name": ASKING_NAME, "grace_period_days": 7})
        self.caller.reached(asked["id"], "grace")
        hidden = last_look(self.visible, lambda seen: seen == 0, limit_s=self.limit_s) == 0
        self.caller.done("POST", f"/jobs/{asked['id']}/cancel")
        job = self.caller.reached(asked["id"], "cancelled")
        differ = self._compare() + (not hidden) + abs(before - self.visible())
        facts = {"hidden": before, "state": job["state"]}
        return Step(name="deletion, cancelled", facts=facts, differences=differ)

    def _delete(self) -> Step:
        """The org is deleted."""
        theirs = self._left()
        body = {"confirm_org_name": ASKING_NAME, "grace_period_days": 0, "delete_media": True}
        job = self.caller.done("POST", "/delete", body)
        self._expect_gone(theirs)
        differ = self._compare() + (job["state"] != "completed")
        facts = {"state": job["state"], "erased": len(theirs)}
        return Step(name="deletion", facts=facts, differences=differ, job=job["id"])

    def _left(self, *categories: str) -> list[Record]:
        """Return the org's records that are to be there still."""
        return [
            r
            for r in self.records
            if r.org == ASKING and r.category in (categories or (r.category,)) and self.expected[r.id] == KEPT
        ]

    def _expect_gone(self, records: Any) -> None:
        self.expected |= {r.id: ERASED for r in records}

    def _compare(self) -> int:
        """Return how many records are not as expected, once nothing changes that any more or time is up."""
        return last_look(self._wrong, lambda wrong: wrong == 0, limit_s=self.limit_s)

    def _wrong(self) -> int:
        seen = self.observe()
        return sum(seen[i] != state for i, state in self.expected.items())


def unzipped(content: bytes) -> list[tuple[str, bytes]]:
    """Return the objects in a ZIP of an export, by their names there."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist() if name != "index.jsonl"]
