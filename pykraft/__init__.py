"""pykraft: a KRaft controller that you can start in a test."""
