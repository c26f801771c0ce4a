"""Bytes from files, pipes and recordings, turned into events with positions."""
