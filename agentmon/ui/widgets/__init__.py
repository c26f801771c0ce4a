"""Line-API panes: no widget per row, no message per delta."""
