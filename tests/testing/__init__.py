"""Tests of pykraft.testing."""
