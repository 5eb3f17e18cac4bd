"""What the declared topics must hold, so that nothing which one part may write is refused by the next."""

from __future__ import annotations

import dataclasses

from ops.datamaps import data_map_path, variables
from ops.engine import LATER
from ops.settings import read_settings
from ops.topics import declared
from schemas.datamap import load_data_map
from schemas.topics import MAX_MESSAGE_BYTES, Topics


def test_a_changelog_takes_whatever_row_a_ledger_entry_may_become() -> None:
    settings = dataclasses.replace(read_settings({}), postgres_dsn="postgresql://u@localhost/d")
    topics = Topics(settings.prefix)

    specs = {s.name: s for s in declared(settings, load_data_map(data_map_path(settings), LATER | variables(settings)))}

    for name in (topics.ledger_changelog, topics.coordinator_changelog):
        assert int(specs[name].config["max.message.bytes"]) >= MAX_MESSAGE_BYTES
