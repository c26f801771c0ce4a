"""What is derived from calls: one rule a subject."""

from agentmon.collab import (
    observed_decisions,
    observed_messages,
    observed_permissions,
    own_calls,
    work_of_calls,
)
from agentmon.collab.calls_seen import Rule

RULES: tuple[Rule, ...] = (
    observed_messages.RULE,
    own_calls.RULE,
    work_of_calls.RULE,
    observed_decisions.RULE,
    observed_permissions.RULE,
)
