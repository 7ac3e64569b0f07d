"""Real Kafka processes of any release: ZooKeeper, brokers, controllers, tools and clients."""
