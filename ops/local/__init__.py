"""The local stack: Kafka, PostgreSQL and S3 on loopback, started and stopped by us."""
