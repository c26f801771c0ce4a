"""What the commands print and the screen shows, as typed rows and text."""
