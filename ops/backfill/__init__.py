"""Tells the ledger of records that were there before ebbtide."""
