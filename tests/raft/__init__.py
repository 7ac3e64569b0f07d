"""Tests of pykraft.raft."""
