"""The command line: one module for each group of commands, all output through `ops.cli.output`."""
