"""SQLite and delta files: the only rooms that contain SQL."""
