"""The cluster as replayed from metadata records, and what changed since it was last published."""
