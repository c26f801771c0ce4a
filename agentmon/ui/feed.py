"""The seam to the engine, under the name the screen knows it by."""

from agentmon.engine.feed import Feed, Status, Transport

__all__ = ["Feed", "Status", "Transport"]
