"""What a user's type checkers make of the public types."""
