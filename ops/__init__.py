"""Running it: settings, command line, local stack, metrics, benchmarks."""
