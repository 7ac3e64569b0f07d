"""Generated: requests, responses, headers and data messages, one module each."""
