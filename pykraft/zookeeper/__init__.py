"""ZooKeeper behind one narrow typed port: paths, znode JSON, reads, fenced multis."""
