"""The gateway: lifecycle events in, frames out."""
