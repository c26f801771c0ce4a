"""Tests enter at the seams: lines into the fold, the real app, the real CLI, real files."""
