"""The ledger's pure core without Kafka: large ledgers built directly, and what is done in them timed."""
