"""What is derived from calls: one rule a subject."""

from agentmon.collab.calls_seen import Rule

RULES: tuple[Rule, ...] = ()
