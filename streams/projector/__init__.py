"""The role `projector`: what the topics say, as tables of PostgreSQL (docs/api.md)."""
