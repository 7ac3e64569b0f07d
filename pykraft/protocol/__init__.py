"""Kafka's wire protocol: generated messages and records, frames, JSON, the API registry, error codes, uuids."""
