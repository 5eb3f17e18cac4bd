"""Where archives lie and how their links are made. Used by the role `exporter`, the API and the doctor."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from ops.settings import Settings
from schemas.errors import Refused
from sinks.s3_client import S3Place
from streams.exporter.bucket import ExportBucket
from streams.exporter.names import Names
from streams.exporter.role import open_bucket


def export_place(settings: Settings) -> S3Place:
    """Return the export bucket's place. Raises Refused where no endpoint is set."""
    return _place(settings, settings.s3_endpoint)


def link_bucket(settings: Settings) -> ExportBucket:
    """Return the bucket as customers reach it: for `ExportBucket.link`, which asks nothing of it. Raises Refused."""
    return open_bucket(_handing_out(settings, settings.export_link_endpoint or settings.s3_endpoint))


def read_bucket(settings: Settings) -> ExportBucket:
    """Return the bucket as the API reads it, under the key that signs links. Raises Refused."""
    return open_bucket(_handing_out(settings, settings.s3_endpoint))


def _handing_out(settings: Settings, endpoint: str) -> S3Place:
    place = _place(settings, endpoint)
    if not settings.export_link_access_key:
        return place
    return replace(place, access_key=settings.export_link_access_key, secret_key=settings.export_link_secret_key)


def export_names(settings: Settings) -> Names:
    """Return the names of archives. Raises BadSetting, Refused."""
    key = hmac.digest(settings.key("master_key"), b"ebbtide export names v1", hashlib.sha256)
    return Names(settings.export_prefix, key)


def _place(settings: Settings, endpoint: str) -> S3Place:
    if not endpoint:
        raise Refused("EBBTIDE_S3_ENDPOINT is not set: give it the address of the endpoint with the export bucket")
    return S3Place(
        endpoint=endpoint,
        region=settings.s3_region,
        bucket=settings.export_bucket or settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )
