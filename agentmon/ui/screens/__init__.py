"""Places (screens) and questions (modals)."""
