"""What `tools/bench codec` runs in processes of their own: the Python codecs and Kafka's Java classes."""
