"""A round or a session as one file: HTML, Markdown or JSON, all from the same plain values."""
