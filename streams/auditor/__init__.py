"""The role `auditor`: the one sequencer of the audit logs."""
