"""The trio server: listeners, one handler per API, broker channels, and the loop that joins the pure parts."""
