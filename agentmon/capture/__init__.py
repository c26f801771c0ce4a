"""Recording what agents and models say to each other: the tap, its log, and hooks."""
