"""pykraft and Apache Kafka's controller side by side on the same machine."""
