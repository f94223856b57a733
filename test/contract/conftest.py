"""Streams on every engine of the contract, after which nothing may be left."""

import threading

from contract_engines import ENGINES
from contract_streams import Stream
import psutil
import pytest


def children():
    """Return the numbers of the processes that this one has started and not waited for."""
    return {process.pid for process in psutil.Process().children()}


@pytest.fixture(params=ENGINES)
def make_stream(request, tmp_path):
    """Return a function that makes the one Stream of a test on an engine, not started yet."""
    threads, processes = set(threading.enumerate()), children()
    streams = []

    def make(*script, max_tokens_per_s=0.0, max_frames=8, on_event=None, **options):
        streams.append(Stream(
            ENGINES[request.param](tmp_path), script, max_tokens_per_s, max_frames, on_event,
            **options))
        streams[-1].open()
        return streams[-1]

    yield make
    for one in streams:
        one.close()
    assert set(threading.enumerate()) <= threads
    assert children() <= processes


@pytest.fixture
def stream(make_stream):
    """Return a function that makes a Stream and starts it."""
    def start(*script, **options):
        one = make_stream(*script, **options)
        one.worker.start()
        return one

    return start
