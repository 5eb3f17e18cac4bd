"""Targets and their runner on real PostgreSQL and Kafka."""
