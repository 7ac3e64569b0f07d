"""Tests against real Kafka processes."""
