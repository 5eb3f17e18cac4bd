"""Starts and kills runners as processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.local.service import S3Server
from tests.integration import scripts

MAP = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${DSN}"}
  profiles: {kind: kafka}
  billing: {kind: consumer}
  media: {kind: s3, endpoint: "${S3}", bucket: "${S3_BUCKET}", access_key: "${S3_KEY}", secret_key: "${S3_SECRET}"}
categories:
  messages:
    retention: {period: "90 d"}
    targets:
      crm: {table: messages, key: id, org: org_id, anonymise: {body: {replace: "[erased]"}}}
      profiles: {topic: TOPIC, key: "{org}/{id}", anonymise: {email: {hash: true}}}
      billing: {anonymise: {email: {replace: "[erased]"}}}
      media: {key: "{org}/media/{id}", anonymise: {replace: "[erased]"}}
"""


def s3_variables(s3: S3Server, bucket: str) -> dict[str, str]:
    """What the map's target of kind s3 needs."""
    return {"S3": s3.endpoint, "S3_BUCKET": bucket, "S3_KEY": s3.access_key, "S3_SECRET": s3.secret_key}


NOWHERE = {"S3": "http://none", "S3_BUCKET": "none", "S3_KEY": "none", "S3_SECRET": "none"}


class Processes:
    """Runner processes of one test; `kill_all` ends what is left."""

    def __init__(
        self,
        directory: Path,
        *,
        bootstrap: str,
        prefix: str,
        dsn: str = "none",
        topic: str = "none",
        variables: Mapping[str, str] = NOWHERE,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "map.yaml").write_text(MAP.replace("TOPIC", topic))
        self._directory = directory
        self._said: dict[str, Any] = {
            "bootstrap": bootstrap,
            "prefix": prefix,
            "data_map": str(directory / "map.yaml"),
            "variables": {"DSN": dsn, **variables},
            "directory": str(directory),
            "batches": 3,
        }
        self._started: list[scripts.Script] = []

    def start(self, target: str) -> scripts.Script:
        module, said = "tests.integration.targets.one_runner", json.dumps(self._said | {"target": target})
        process = scripts.start(module, said, log=self._directory / f"{target}.log")
        self._started.append(process)
        return process

    def log(self, target: str) -> str:
        return (self._directory / f"{target}.log").read_text()

    def kill_all(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
