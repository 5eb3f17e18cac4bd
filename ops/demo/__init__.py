"""The demo: three stores with made-up people, swept before your eyes, and checked against what the policies say."""
