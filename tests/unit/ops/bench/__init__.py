"""The bench's pure parts: data set, digest, verdicts, meter."""
