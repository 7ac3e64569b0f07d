"""The controller's operations, pure: (image, request, now) to records and a reply."""
