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

"""A camera over a picture that nothing was trained on: it stands, pans, stands and is covered."""

from array import array

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from moss_ros.training.evaluation_run import num_painted_words
import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

SEED = 4
HEIGHT_PX, WIDTH_PX = 240, 320
STEP_PX = 20  # a frame, of those in which it pans
PERIOD_NS = 500_000_000
START_NS = 1_000_000_000
COVER = 62, 44, 36
# How many frames of each, one after the other, and what is to be said of it.
PARTS = (
    ('stands', 8, []), ('pans', 8, ['The camera moves.']), ('stands', 8, ['The camera stops.']),
    ('covered', 8, ['Something covers the camera.']),
    ('stands', 6, ['The picture is clear again.']))
LAST_COVERED = sum(num_frames for _, num_frames, _ in PARTS[:4])


def landscape(random):
    """Return blobs of many sizes and colours, uint8 [300, 1400, 3]."""
    picture = np.full((300, 1400, 3), 115, np.float32)
    for num_columns, contrast in ((6, 70), (20, 50), (70, 30), (300, 12)):
        blobs = random.normal(size=(max(2, num_columns * 300 // 1400 + 2), num_columns, 3))
        picture += contrast * cv2.resize(
            blobs.astype(np.float32), (1400, 300), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255)


def shown_pictures():
    """Yield what the camera sees, uint8 [H, W, 3], with a sensor's noise."""
    random = np.random.default_rng(SEED)
    world, x_px = landscape(random), 40
    for part, num_frames, _ in PARTS:
        for _ in range(num_frames):
            x_px += STEP_PX if part == 'pans' else 0
            picture = world[30:30 + HEIGHT_PX, x_px:x_px + WIDTH_PX]
            if part == 'covered':
                picture = np.full((HEIGHT_PX, WIDTH_PX, 3), COVER)
            noise = random.normal(0, 2.5, picture.shape)
            yield (picture + noise).clip(0, 255).astype(np.uint8)


def test_it_is_told_how_the_camera_moves_and_that_it_is_covered(
        host, listener, start_process, trained_checkpoint):
    images = listener.create_publisher(Image, 'image', QoSProfile(depth=10))
    warnings = []
    listener.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: warnings.extend(
            status.message for status in message.status
            if status.level == DiagnosticStatus.WARN), QoSProfile(depth=10))
    start_process('narrator', '-p', f'checkpoint:={trained_checkpoint}',
                  '-p', 'image_reliability:=reliable', '-p', 'blank_after_s:=0.5')
    host.until(lambda: images.get_subscription_count()
               and listener.count_publishers('narrator/events'), 60.0, 'the narrator')
    ends_ns = []
    for index, picture in enumerate(shown_pictures()):
        message = Image(height=HEIGHT_PX, width=WIDTH_PX, step=3 * WIDTH_PX, encoding='rgb8')
        message.data = array('B', picture.tobytes())
        stamp_ns = START_NS + index * PERIOD_NS
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
        images.publish(message)
        host.until(lambda: any(record['stamp_ns'] == stamp_ns
                               for record in listener.of_type('silence')), what='its decision')
        ends_ns.append(stamp_ns)
        if len(ends_ns) == LAST_COVERED:
            host.until(lambda: any('one colour' in text for text in warnings), what='a warning')
    said, first = listener.of_type('narration'), 0
    for _, num_frames, expected in PARTS:
        begin_ns, end_ns = ends_ns[first], ends_ns[first + num_frames - 1]
        assert [record['text'].strip() for record in said
                if begin_ns <= record['stamp_ns'] <= end_ns] == expected
        first += num_frames
    assert num_painted_words(' '.join(listener.narration)) == 0
