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
The topics on which a narrator publishes: what its stream reports, and the overlay picture.

Events go out at once, on the thread that reports them. The overlay is painted on a thread of its
own, and only while somebody subscribes. Outputs live from configure to cleanup, the
OverlayPublisher from activate to deactivate.
"""

from array import array
from collections import OrderedDict
import io
import itertools
import threading
import time

from moss_ros.records import BOOL_TYPE, OUTPUT_TOPICS, record_of, STRING_TYPE
from moss_ros.stream import Event, Frame
from moss_ros.views.overlay import CaptionFollower, OverlayPainter
import numpy as np
from PIL import Image as Picture
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String

_MESSAGE_BY_TYPE = {STRING_TYPE: String, BOOL_TYPE: Bool}


class Outputs:
    """
    The lifecycle publishers of a narrator; any thread may publish.

    overlay, compressed_overlay: publishers of the pictures, for the OverlayPublisher.
    """

    def __init__(self, node: LifecycleNode, event_numbers: itertools.count):
        """Create the publishers; event_numbers counts the events over the life of the node."""
        self._node = node
        self._event_numbers = event_numbers
        self._lock = threading.Lock()
        self._publishers = [(topic, self._publisher(topic)) for topic in OUTPUT_TOPICS]
        # Reliable: so it matches subscribers of both kinds.
        newest = QoSProfile(depth=1)
        self.overlay = node.create_lifecycle_publisher(Image, '~/overlay', newest)
        self.compressed_overlay = node.create_lifecycle_publisher(
            CompressedImage, '~/overlay/compressed', newest)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (*(publisher for _, publisher in self._publishers),
                          self.overlay, self.compressed_overlay):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, event: Event) -> None:
        """Publish an event of the stream on every topic that it belongs to."""
        # So that their numbers ascend in the order in which they are heard.
        with self._lock:
            record = record_of(event, next(self._event_numbers), time.monotonic_ns())
            for topic, publisher in self._publishers:
                data = topic.data_of(record)
                if data is not None:
                    self._send(publisher, _MESSAGE_BY_TYPE[topic.message_type](data=data))

    def _publisher(self, topic):
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.is_latched \
            else DurabilityPolicy.VOLATILE
        return self._node.create_lifecycle_publisher(
            _MESSAGE_BY_TYPE[topic.message_type], f'~/{topic.name}',
            QoSProfile(depth=topic.depth, durability=durability))

    def _send(self, publisher, message):
        try:
            publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle):
            # The process was told to end while the worker was in a step.
            if self._node.context.ok():
                raise


# Words may come faster than anyone reads, and large images are published slowly.
MIN_PERIOD_S = 0.1
JPEG_QUALITY = 85
# As image_transport writes it for RGB pictures, which OpenCV decodes to BGR.
JPEG_FORMAT = 'rgb8; jpeg compressed bgr8'


class OverlayPublisher:
    """
    Publishes each frame that the model has seen with its caption, and again as the caption grows.

    Only close() waits for a picture. Nothing is kept or painted while nobody subscribes; the
    thread starts with the first frame that has a subscriber.
    """

    def __init__(self, node, image_publisher, compressed_publisher, max_frames: int):
        """
        Publish with an Image and a CompressedImage publisher of node, which must outlive this.

        max_frames: frames that are kept until the model has seen them.
        """
        self._node = node
        self._image_publisher = image_publisher
        self._compressed_publisher = compressed_publisher
        self._max_frames = max_frames
        self._follower = CaptionFollower()
        self._painter = OverlayPainter()
        self._condition = threading.Condition()  # guards all below
        self._frames: OrderedDict[int, tuple[np.ndarray, str]] = OrderedDict()
        self._seen = None  # (picture, frame_id, stamp_ns) of the newest frame that was seen
        self._due = None  # that, and the caption for it
        self._is_closed = False
        self._has_failed = False
        self._num_missing_letters = 0
        self._thread: threading.Thread | None = None

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody subscribes to either topic."""
        return (self._image_publisher.get_subscription_count() > 0
                or self._compressed_publisher.get_subscription_count() > 0)

    def add_frame(self, frame: Frame, frame_id: str) -> None:
        """Keep a frame that is about to be submitted to the model; any thread may call."""
        is_wanted = self.has_subscribers
        with self._condition:
            if self._is_closed:
                return
            if not is_wanted:
                self._frames.clear()
                self._seen = self._due = None
                return
            self._frames[frame.stamp_ns] = (frame.image, frame_id)
            if len(self._frames) > self._max_frames:
                self._frames.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name='moss-overlay', daemon=True)
                self._thread.start()

    def follow(self, event: Event) -> None:
        """Take in the next event of the stream; called on the worker's thread, in order."""
        self._follower.follow(event, time.monotonic_ns())
        if event.stamp_ns is None:
            return
        with self._condition:
            if event.stamp_ns in self._frames:
                # Those before it were dropped, or shown to the model along with it.
                while event.stamp_ns in self._frames:
                    stamp_ns, (picture, frame_id) = self._frames.popitem(last=False)
                self._seen = (picture, frame_id, stamp_ns)
            if self._seen is not None and not self._is_closed:
                self._due = (*self._seen, self._follower.caption_at(self._seen[2]))
                self._condition.notify_all()

    def close(self, timeout_s: float) -> None:
        """End the thread; block until the picture in work is published, at most timeout_s."""
        with self._condition:
            self._is_closed = True
            self._frames.clear()
            self._seen = self._due = None
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self):
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._due is not None or self._is_closed)
                if self._is_closed:
                    return
                due, self._due = self._due, None
            begin_s = time.monotonic()
            self._publish(*due)
            with self._condition:
                rest_s = begin_s + MIN_PERIOD_S - time.monotonic()
                self._condition.wait_for(lambda: self._is_closed, max(0.0, rest_s))

    def _publish(self, picture, frame_id, stamp_ns, caption):
        try:
            if not self.has_subscribers:
                return
            painted = self._painter.paint(picture, caption)
            stamp = Time(nanoseconds=stamp_ns).to_msg()
            for publisher, make_message in (
                    (self._image_publisher, image_message),
                    (self._compressed_publisher, compressed_message)):
                if publisher.get_subscription_count():
                    message = make_message(painted)
                    message.header.stamp, message.header.frame_id = stamp, frame_id
                    publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle) as error:
            # The process was told to end while a picture was painted.
            if self._node.context.ok():
                self._report_failure(error)
        # The narration goes on without its overlay, whatever is wrong with it.
        except Exception as error:
            self._report_failure(error)
        self._report_missing_letters()

    def _report_failure(self, error):
        if not self._has_failed:
            self._has_failed = True
            self._node.get_logger().error(f'the overlay cannot be published: {error!r}')

    def _report_missing_letters(self):
        missing = self._painter.missing_letters
        if missing and not self._num_missing_letters:
            self._node.get_logger().warning(
                f'no font here has {"".join(sorted(missing))!r}, boxes stand for such letters in '
                'the overlay: install one, such as fonts-noto-cjk for Chinese')
        self._num_missing_letters = len(missing)


def image_message(picture: np.ndarray) -> Image:
    """Return a message of a picture u8 [H, W, 3] RGB; its header is left empty."""
    height_px, width_px = picture.shape[:2]
    message = Image(height=height_px, width=width_px, encoding='rgb8', step=3 * width_px)
    # Only an array is taken over without a check of every single byte.
    message.data = array('B', picture.tobytes())
    return message


def compressed_message(picture: np.ndarray) -> CompressedImage:
    """Return a JPEG message of a picture u8 [H, W, 3] RGB; its header is left empty."""
    buffer = io.BytesIO()
    Picture.fromarray(picture).save(buffer, 'JPEG', quality=JPEG_QUALITY)
    message = CompressedImage(format=JPEG_FORMAT)
    message.data = array('B', buffer.getvalue())
    return message
