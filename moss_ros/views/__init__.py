"""What people look at: overlay, console screen, report and index pages; no ROS, no model."""
