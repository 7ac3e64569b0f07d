"""Tests of pykraft.server."""
