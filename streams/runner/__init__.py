"""The role `target`: one process applies the erasure batches of one target and acknowledges them."""
