"""
Hands the events of a stream to whoever listens, whatever that does.

Events go in, one call of a callback for each comes out. Knows neither sessions nor threads. The
channels of every worker have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import logging
import traceback

from moss_ros.stream.events import ErrorEvent, Event

_LOGGER = logging.getLogger(__name__)


class EventDelivery:
    """
    Calls on_event with each event, in order, until it is closed.

    An exception of on_event is logged and becomes an ErrorEvent; the stream goes on. One thread
    delivers, that of the worker; any may close.
    """

    def __init__(self, on_event: Callable[[Event], None]):
        self._on_event = on_event
        self._is_closed = False
        self._has_failed = False

    def close(self) -> None:
        """Deliver nothing any more. Does not block."""
        self._is_closed = True

    def deliver(self, events: Iterable[Event]) -> None:
        """Call on_event with each of events; blocks as long as it does."""
        for event in events:
            if self._is_closed:
                return
            try:
                self._on_event(event)
            except Exception as error:
                self._report(event, error)

    def _report(self, event, error):
        if self._has_failed:  # the traceback once, not thirty times a second
            _LOGGER.error('on_event raised again, for %s: %r', type(event).__name__, error)
            return
        self._has_failed = True
        _LOGGER.exception('on_event raised for %r', event)
        if not isinstance(event, ErrorEvent):
            self.deliver([ErrorEvent(
                stamp_ns=event.stamp_ns, received_ns=event.received_ns,
                message=f'on_event raised {error!r} for a {type(event).__name__}; the stream '
                        'goes on without it',
                traceback=traceback.format_exc())])
