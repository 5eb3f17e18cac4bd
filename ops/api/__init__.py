"""The role `api`: HTTP over the read model; every write is a signed request (docs/api.md)."""
