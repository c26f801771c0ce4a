"""agentmon's benchmark: `python -m tests.bench`. Prints one table; ratios count, not seconds."""
