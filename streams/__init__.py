"""The stream processors: the pure ledger core, and the thin shells that feed it."""
