"""The audit log, pure: Merkle trees, signed heads, entries, exported files and their verification."""
