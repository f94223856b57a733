# Copyright 2026 moss_ros developers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
What the package says by Python's logging, in the log of ROS: on stderr, in its files, on /rosout.

A node goes in whose logger is used, from its making to its end. Of several nodes of a process one
tells it, the oldest, since what is shared by them is told once. Any thread may log.
"""

from collections.abc import Callable
import logging
import threading

_PACKAGE = logging.getLogger('moss_ros')


class _RosLogHandler(logging.Handler):
    """Passes what it gets on to the first of loggers, by the severity of the record."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.loggers = []
        self.lock_of_loggers = threading.Lock()

    def emit(self, record):
        """Log a record; any thread."""
        try:
            [logger, *_] = self.loggers
            text = self.format(record)
            # rclpy refuses a line that logs with one severity now and another then.
            if record.levelno >= logging.ERROR:
                logger.error(text)
            elif record.levelno >= logging.WARNING:
                logger.warning(text)
            else:
                logger.info(text)
        except Exception:
            self.handleError(record)


_HANDLER = _RosLogHandler()


def log_to(node) -> Callable[[], None]:
    """Have node log what the package says until what is returned is called."""
    logger = node.get_logger()
    with _HANDLER.lock_of_loggers:
        _HANDLER.loggers.append(logger)
        _PACKAGE.addHandler(_HANDLER)  # once, however often
        _PACKAGE.setLevel(logging.INFO)

    def undo():
        with _HANDLER.lock_of_loggers:
            if logger in _HANDLER.loggers:
                _HANDLER.loggers.remove(logger)
            if not _HANDLER.loggers:
                _PACKAGE.removeHandler(_HANDLER)
                _PACKAGE.setLevel(logging.NOTSET)

    return undo
