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

"""The lock of the model: taken in turns, and closed when the process ends."""

import threading
import time

from moss_ros.generator.turn_lock import TurnLock
import pytest

TIMEOUT_S = 30.0


def test_turns_are_taken_in_the_order_of_asking():
    lock, order = TurnLock(), []
    barrier = threading.Barrier(2)

    def work(name):
        barrier.wait(TIMEOUT_S)
        for _ in range(10):
            with lock:
                order.append(name)
                time.sleep(0.02)  # a step of a model, in which the other one asks
    threads = [threading.Thread(target=work, args=(name,)) for name in 'ab']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(order) == 20
    assert ''.join(order).count('ab') > 6


def test_a_closed_lock_waits_for_whoever_is_inside_and_lets_nobody_go_on():
    lock, order = TurnLock(), []
    is_inside, let_go, asks = threading.Event(), threading.Event(), threading.Event()

    def work():
        with lock:
            is_inside.set()
            assert let_go.wait(TIMEOUT_S)
            order.append('left')

    def ask():
        asks.set()
        with lock:
            order.append('entered')
    threads = [threading.Thread(target=target, daemon=True) for target in (work, ask)]
    threads[0].start()
    assert is_inside.wait(TIMEOUT_S)
    threads[1].start()
    assert asks.wait(TIMEOUT_S)
    assert not lock.close(timeout_s=0.05)
    let_go.set()
    assert lock.close(TIMEOUT_S)
    with pytest.raises(RuntimeError, match='the process is ending'):
        with lock:
            pass
    # Neither goes on: the one that left would free what the model gave it.
    assert order == ['left'] and all(thread.is_alive() for thread in threads)
