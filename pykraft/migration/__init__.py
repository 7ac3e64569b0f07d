"""ZooKeeper to KRaft migration (KIP-866), pure: the driver, the copy, the dual writes, the broker RPCs."""
