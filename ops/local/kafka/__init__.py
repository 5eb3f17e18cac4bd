"""Kafka of the local stack: a real broker from Maven's jars, or librdkafka's mock broker as a stand-in."""
