"""Agents that talk: messages, work, decisions, and what they add up to.

Everything here lasts in the store's own tables. Functions over a connection are for commands and
screens; `messaging` is the API of the agents themselves.
"""
