"""The tests of pykraft, one package for each of its rooms."""
