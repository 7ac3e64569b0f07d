"""The pykraft command, one module per subcommand."""
