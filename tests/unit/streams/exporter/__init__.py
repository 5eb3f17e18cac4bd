"""The pure parts of the exporter."""
