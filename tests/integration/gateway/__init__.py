"""The gateway on a real broker."""
