"""Benchmarks, side by side with their peers."""
