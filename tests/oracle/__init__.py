"""Tests that ask Kafka's own classes and tools."""
