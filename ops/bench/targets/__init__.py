"""Targets and the exporter beside the barest program that does the same to the same store."""
