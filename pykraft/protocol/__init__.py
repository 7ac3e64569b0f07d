"""Kafka's wire protocol: generated messages and records, primitives, headers, API registry, error codes."""
