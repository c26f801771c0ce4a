"""The Textual screen. Nothing below it imports it."""
