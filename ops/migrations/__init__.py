"""The read model's schema, one step a file: `NNNN_name.up.sql` and `.down.sql`; `migrate` runs them."""
