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

"""The live narrator, fed by a replay of a bag, says what narrate_bag makes of it."""

import json
import time

from bag_making import make_scene_bag
from lifecycle_msgs.srv import GetState
from moss_ros.bag import narrate_bag, NarrateOptions
from moss_ros.bag.reading import open_source
from moss_ros.stream import FrameSampler
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

FRAME_RATE_FPS = 2.0
# Three times as fast as recorded; a frame for the model is waited for in any case.
PERIOD_S = 0.033


@pytest.fixture
def replay(host, listener):
    """Return a function that publishes the images of a source at a pace the node keeps up with."""
    publisher = listener.create_publisher(
        Image, 'image', QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE))

    state = listener.create_client(GetState, 'narrator/get_state')

    def publish(message, is_done=lambda: False, wait_s=PERIOD_S):
        publisher.publish(message)
        end_s = time.monotonic() + wait_s
        host.until(lambda: is_done() or time.monotonic() > end_s)
        # Its executor looks at images before it answers: the next one can't replace this one.
        host.call(state, GetState.Request())
        return is_done()

    def run(source):
        sampler = FrameSampler(FRAME_RATE_FPS)
        host.until(lambda: publisher.get_subscription_count() == 1, 240.0, 'the narrator')
        for item in source.messages():
            message = deserialize_message(bytes(item.content), Image)
            stamp_ns = source.stamp_ns(item)
            if not sampler.select(stamp_ns):
                publish(message)
                continue

            def is_seen(stamp_ns=stamp_ns):
                return any(record['stamp_ns'] == stamp_ns
                           for record in listener.of_type('silence'))

            # The node takes the newest image only, and may have been too busy for this one.
            assert any(publish(message, is_seen, 2.0) for _ in range(30)), stamp_ns

    return run


def test_a_replayed_bag_is_narrated_as_by_narrate_bag(
        listener, replay, start_process, trained_checkpoint, tmp_path):
    bag = make_scene_bag(tmp_path / 'bag', 71, 20.0)
    start_process(
        'narrator', '-p', f'checkpoint:={trained_checkpoint}',
        '-p', 'image_reliability:=reliable')
    with open_source(bag.path) as source:
        replay(source)
    narrate_bag(bag.path, tmp_path / 'out', NarrateOptions(checkpoint=str(trained_checkpoint)))
    records = map(json.loads, (tmp_path / 'out' / 'narration.jsonl').read_text().splitlines())
    said = [record['text'].strip() for record in records if record['type'] == 'narration']
    assert len(said) >= 5
    assert listener.narration == said
