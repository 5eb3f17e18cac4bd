"""The recovery drill: state and a store are destroyed on purpose, and brought back."""
