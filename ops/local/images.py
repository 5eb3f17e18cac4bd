"""The images of the stack's services, pinned: for testcontainers here, the same in docker-compose.yml (tested)."""

from __future__ import annotations

__all__ = ["KAFKA_IMAGE", "POSTGRES_IMAGE", "S3_IMAGE"]

KAFKA_IMAGE = "apache/kafka:4.1.0"
POSTGRES_IMAGE = "postgres:18.4"
S3_IMAGE = "versity/versitygw:v1.8.0"
