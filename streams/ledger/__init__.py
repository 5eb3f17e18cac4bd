"""The ledger: a deterministic state machine over one partition of the ledger log. Pure."""
