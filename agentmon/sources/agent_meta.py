"""What lies beside the transcript of a subagent: who started it, what for."""

import re

from agentmon.core.events import AgentSaid

_AGENT_FILE = re.compile(r"/([0-9a-fA-F-]{36})/subagents/(?:.+/)?agent-([A-Za-z0-9-]+)\.jsonl\Z")
"""<session>/subagents/agent-<id>.jsonl (formats.md C.1)."""


def about_agent(path: str) -> AgentSaid | None:
    """What is said of the subagent whose transcript has this path; None for other files."""
    found = _AGENT_FILE.search(path)
    if found is None:
        return None
    from agentmon.sources.transcripts import read_agent_meta

    about = read_agent_meta(path, found[2], found[1])
    if about is not None:
        about.time = None  # the time of the file tells nothing of the session
    return about
