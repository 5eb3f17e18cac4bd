"""The bench on a real broker."""
