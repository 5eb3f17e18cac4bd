"""The exporter: writes the records of the ledger's lists into the export bucket, part by part. See docs/exports.md."""
