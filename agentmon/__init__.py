"""agentmon: watch AI coding agents from the wire, in a terminal."""

__version__ = "0.1.0"
