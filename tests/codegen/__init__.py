"""Tests of the schema reader and the generator."""
