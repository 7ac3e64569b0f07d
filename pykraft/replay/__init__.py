"""A recorded metadata log read, checked, compared, edited and exported."""
