"""The metadata log on disk: record batches, segments, checkpoints, quorum-state and meta.properties."""
