"""From settings to a session and the worker that serves it, by whichever backend; no ROS."""
