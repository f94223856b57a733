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
