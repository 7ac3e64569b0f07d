"""pykraft in a test: a synchronous handle, a pytest plugin, a fake ZooKeeper."""
