"""The metadata log on disk: record batches, segments, epochs, quorum state, meta.properties."""
