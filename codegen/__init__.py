"""Schema parser and code generator; never imported by pykraft."""
