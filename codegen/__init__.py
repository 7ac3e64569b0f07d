"""Reads `schemas/` strictly and writes the typed modules of `pykraft.protocol`; never imported by pykraft."""
