"""MOSS-Video-Preview for ROS 2: a camera is narrated live, and questions are answered."""
