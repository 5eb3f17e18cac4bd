"""A backfill in a process of its own, to be killed: says `page` after each committed page, `done` at the end.

Started by `test_backfill.py` as `python -m tests.integration.backfill.child` with bootstrap, prefix, data map, target,
variables as JSON and rows a page.
"""

from __future__ import annotations

import json
import sys

from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from schemas.datamap import load_data_map


def main() -> None:
    bootstrap, prefix, data_map, target, variables, page_rows = sys.argv[1:]
    spec = BackfillSpec(
        bootstrap=bootstrap,
        prefix=prefix,
        data_map=load_data_map(data_map, json.loads(variables)),
        page_rows=int(page_rows),
    )
    run_backfill(spec, target, progress=lambda _done, _total: print("page", flush=True))
    print("done", flush=True)


if __name__ == "__main__":
    main()
