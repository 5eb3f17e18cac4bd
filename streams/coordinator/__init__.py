"""The coordinator's core: orgs, policies, holds and jobs, told to every ledger partition that holds the org."""
