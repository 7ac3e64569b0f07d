"""Generated: the records of the metadata log, one module each."""
