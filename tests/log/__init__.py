"""Tests of pykraft.log."""
