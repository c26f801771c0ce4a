"""sources → fold → store: one `Engine`, and the runners that drive it. Knows no Textual."""
