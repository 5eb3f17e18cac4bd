"""Every name and shape that leaves a process: contracts, topics, errors."""
