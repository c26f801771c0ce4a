"""Subcommands, a room for each subject; whatever one does not need is imported inside it."""
