"""
What the other packages log by Python's logging, in the log of a node.

Log records in, lines of a ROS logger out. Knows no node. Attached by the narrator while it is
active.
"""

import logging


class RosLogHandler(logging.Handler):
    """Takes what the other packages log by Python's logging to the node's logger."""

    def __init__(self, logger):
        super().__init__()
        self._logger = logger

    def emit(self, record):
        """Log a record; any thread."""
        try:
            # rclpy refuses a line that logs with one severity now and another then.
            if record.levelno >= logging.ERROR:
                self._logger.error(record.getMessage())
            else:
                self._logger.info(record.getMessage())
        except Exception:
            self.handleError(record)
