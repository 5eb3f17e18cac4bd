"""Places that can forget: one module for each kind of store, all under one protocol."""
