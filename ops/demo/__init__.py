"""The demo: four stores with made-up people, swept before your eyes, asked for things, and checked record by record."""
