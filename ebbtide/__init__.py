"""What other teams import to publish lifecycle events to ebbtide."""
