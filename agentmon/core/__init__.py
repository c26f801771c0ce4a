"""The pure middle: events in, state out. No I/O, no clock, no asyncio, no Textual."""
