"""The exporter on real components."""
