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
The camera of a narrator: image messages in, chosen and converted frames out, by a callback.

A FrameIntake chooses the frames. Images that cannot be used are counted, and when none arrives,
state and trouble say why. Made by the narrator, which starts it when it is activated.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
import time

from moss_ros.images import BadImageError
from moss_ros.nodes.camera_images import CameraImage, ImageReader, PictureReader, VideoReader
from moss_ros.nodes.conversions import ImageConverter, stamp_to_ns
from moss_ros.nodes.image_topic import ImageTopic, InputState
from moss_ros.settings import NarratorSettings
from moss_ros.stream import CameraEvent, CameraReason, Frame, PictureWatch
from moss_ros.stream.intake import FrameIntake, LateFrameError, RESTART_NS
from moss_ros.stream.picture_watch import DEFAULT_FROZEN_AFTER_S
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

NS_PER_S = 1_000_000_000
# How long after time was set back images may still arrive with stamps from before.
UNDER_WAY_NS = 2 * NS_PER_S
RATE_WINDOW_NS = 5 * NS_PER_S
MAX_WATCH_PERIOD_S = 0.5
# Of video, for which it is looked who publishes what, so that little is missed.
VIDEO_WATCH_PERIOD_S = 0.1
_PICTURE_TROUBLES = {
    CameraReason.FROZEN: 'the pictures of the last {seconds:.1f} s are identical: the camera or '
    'its driver may hang, restart it; of a source without noise, such as a simulator or a file, '
    'that is right, start with frozen_after_s:=0',
    CameraReason.BLACK: 'the picture has been almost black for {seconds:.1f} s: look for a cover '
    'over the lens, for light, and at the exposure; blank_after_s:=0 ends such warnings',
    CameraReason.WHITE: 'the picture has been almost white for {seconds:.1f} s: look at the '
    'exposure, and for a light that shines into the lens; blank_after_s:=0 ends such warnings',
    CameraReason.UNIFORM: 'the picture has been of almost one colour for {seconds:.1f} s: look '
    'for a cover over the lens, for what stands close before it, and at the focus; '
    'blank_after_s:=0 ends such warnings'}


@dataclass(frozen=True)
class _Arrived:
    """An image, and its stamp by the clock that counts."""

    image: CameraImage
    stamp_ns: int


@dataclass(frozen=True)
class _SetBack:
    """Time was set back: the stamps before and after, and when, by time.monotonic_ns()."""

    from_ns: int
    to_ns: int
    at_ns: int


class ImageInput:
    """
    Subscribes to one camera between start() and stop(), and watches whether images arrive.

    - on_frame(frame, frame_id) gets each chosen Frame and the frame_id of its header, and returns
      whether it could use them.
      on_restart(reason) is called when the stamps went back, before the next frame.
      on_trouble(event) is called when something is the matter with the pictures, or is not any
      more. None may block.
    - num_received, num_used, num_bad_by_kind: images that arrived, that were handed over and
      used, and that could not be, since this was made. The rest was left out.
    - state, trouble: how the images arrive, and what is wrong and can be done; '' if all is well.
    - picture_kind: size and encoding of the newest frame, such as '640x480 rgb8'.

    Everything is called on the executor's thread.
    """

    def __init__(self, node: Node, on_frame: Callable[[Frame, str], bool],
                 on_restart: Callable[[str], None], on_trouble: Callable[[CameraEvent], None]):
        self.num_received = 0
        self.num_used = 0
        self.num_bad_by_kind: Counter[str] = Counter()
        self.state = InputState.STOPPED
        self.trouble = ''
        self.picture_kind = ''
        self._node = node
        self._on_frame = on_frame
        self._on_restart = on_restart
        self._on_trouble = on_trouble
        # On steady time: with use_sim_time, the node's own clock may stand still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._watch_timer = None
        self._topic: ImageTopic | None = None
        self._reader: ImageReader | None = None
        self._last_arrival_ns: int | None = None
        self._arrivals_ns: deque[int] = deque()
        self._intake: FrameIntake[_Arrived] | None = None  # made by start()
        self._settings: NarratorSettings | None = None  # of start()
        self._pictures: PictureWatch | None = None  # made by start()
        self._set_back: _SetBack | None = None
        self._told: set[str] = set()  # of what was odd about the stamps, since the start

    def start(self, settings: NarratorSettings, frame_rate_fps: float,
              converter: ImageConverter) -> None:
        """Subscribe as the settings say, and choose frame_rate_fps frames a second."""
        is_video = settings.image_transport == 'video'
        self._stale_after_s = settings.stale_after_s
        self._intake = FrameIntake(frame_rate_fps, self._frame)
        self._settings = settings
        self.watch_pictures_anew()
        self._set_back = None
        self._told.clear()
        self._arrivals_ns.clear()
        self._last_arrival_ns = None
        self._quiet_since_ns = time.monotonic_ns()
        self.state, self.trouble = InputState.WAITING, ''

        def begin_reading():
            self._reader = (VideoReader if is_video else PictureReader)(converter)

        begin_reading()
        self._topic = ImageTopic(
            self._node, settings.image_transport,
            ReliabilityPolicy[settings.image_reliability.upper()], self._on_message, begin_reading)
        longest_s = VIDEO_WATCH_PERIOD_S if is_video else MAX_WATCH_PERIOD_S
        self._watch_timer = self._node.create_timer(
            min(longest_s, settings.stale_after_s / 2), self._watch, clock=self._steady_clock)

    def watch_pictures_anew(self) -> None:
        """Forget what was the matter with the pictures; ask again whether time is simulated."""
        frozen_after_s = self._settings.frozen_after_s
        if frozen_after_s < 0:
            # The pictures of a simulator may have no noise: nothing is wrong where nothing moves.
            is_simulated = self._node.get_parameter('use_sim_time').value
            frozen_after_s = 0.0 if is_simulated else DEFAULT_FROZEN_AFTER_S
        self._pictures = PictureWatch(frozen_after_s, self._settings.blank_after_s)

    def stop(self) -> None:
        """Unsubscribe; undoes a start() that failed half way, does nothing if not started."""
        if self._watch_timer is not None:
            self._node.destroy_timer(self._watch_timer)
        if self._topic is not None:
            self._topic.close()
        self._topic = self._watch_timer = self._reader = None
        if self._intake is not None:
            self._intake.forget()
        self.state, self.trouble = InputState.STOPPED, ''

    def show_newest(self) -> None:
        """
        Hand over the newest image now, if it was left out; choosing goes on from its stamp.

        Called after a question, which is answered at the next frame: so it need not wait for one.
        Does nothing if the image came more than stale_after_s ago: it is too old for an answer.
        """
        newest = self._intake.left_out
        if newest is None or _age_s(newest.image.received_ns) > self._stale_after_s:
            return
        try:
            frame = self._intake.show_left_out()
        except BadImageError as error:
            self._count_bad(error)
            return
        self._hand_over(frame, newest.image)

    def set_frame_rate(self, frame_rate_fps: float) -> None:
        """Choose frame_rate_fps frames a second from now on."""
        self._intake.set_frame_rate(frame_rate_fps)

    def forget_stamps(self, set_back_to_ns: int | None = None) -> None:
        """
        Take whatever stamp comes next as the first one.

        set_back_to_ns: the time to which the clock of the stamps was set back, if it was. Images
        that still arrive with stamps from before then count as late.
        """
        newest_ns = self._intake.newest_stamp_ns
        self._set_back = None
        if set_back_to_ns is not None and newest_ns is not None:
            self._set_back = _SetBack(newest_ns, set_back_to_ns, time.monotonic_ns())
        self._intake.forget()

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that are chosen, at most."""
        return self._intake.frame_rate_fps

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest image taken in: one up to it is late. None before the first."""
        return self._intake.newest_stamp_ns

    @property
    def topic(self) -> str:
        """Full name of the topic that it is subscribed to; '' while it is stopped."""
        return '' if self._topic is None else self._topic.name

    @property
    def has_frozen_stamps(self) -> bool:
        """Whether the header stamps do not change, so that the time of arrival counts."""
        return self._intake is not None and self._intake.has_frozen_stamps

    @property
    def stamp_trouble(self) -> str:
        """Return what is wrong with the header stamps, and the way out; '' if all is well."""
        if not self.topic:
            return ''
        if self._intake.has_frozen_stamps:
            return (f'the header stamps on {self.topic} do not change, so images count from when '
                    'they arrive; have the driver stamp each image')
        if self._intake.has_two_clocks:
            num_publishers = len(self._node.get_publishers_info_by_topic(self.topic))
            return (f'images of two clocks come in turn on {self.topic}, which has '
                    f'{num_publishers} publisher{"s" * (num_publishers != 1)}: those of the '
                    'one behind are not used; stop one of them, or remap it')
        return ''

    @property
    def picture_trouble(self) -> str:
        """Return what is wrong with the pictures, and the way out; '' if all is well."""
        told = self._pictures.trouble if self.topic else None
        return '' if told is None else _PICTURE_TROUBLES[told.reason].format(
            seconds=self._pictures.trouble_s)

    @property
    def identical_s(self) -> float | None:
        """Seconds for which all frames have been the same picture; None before the first."""
        return self._pictures.identical_s if self._pictures and self.num_used else None

    @property
    def input_fps(self) -> float:
        """Images a second over the last five seconds, good or bad."""
        self._forget_arrivals_before(time.monotonic_ns() - RATE_WINDOW_NS)
        if len(self._arrivals_ns) < 2:
            return 0.0
        return (len(self._arrivals_ns) - 1) * NS_PER_S / (
            self._arrivals_ns[-1] - self._arrivals_ns[0])

    @property
    def last_image_age_s(self) -> float | None:
        """Seconds since the newest image arrived; None before the first."""
        if self._last_arrival_ns is None:
            return None
        return _age_s(self._last_arrival_ns)

    # Images

    def _on_message(self, message):
        received_ns = time.monotonic_ns()
        self._note_arrival(received_ns)
        for image in self._reader.images(message, received_ns):
            self._take(image)

    def _take(self, image):
        try:
            frame = self._chosen_frame(image)
        except (BadImageError, LateFrameError) as error:
            self._count_bad(error)
            return
        finally:
            self._tell_of_stamps()
        if frame is not None:
            self._hand_over(frame, image)

    def _chosen_frame(self, image):
        """Return a Frame, None if left out; the stamp of a message with no picture is ignored."""
        if image.error is not None:
            raise image.error
        # Since the node's time stands at 0 until there is a /clock.
        stamp_ns = self._intake.time_ns(self._stamp_ns(image), self._now_ns() or None)
        if self._is_of_before(stamp_ns):
            raise LateFrameError('the stamp is of the time before the clock was set back')
        back_ns = self._intake.admit(stamp_ns)
        if back_ns:
            if back_ns >= RESTART_NS:
                self._set_back = _SetBack(stamp_ns + back_ns, stamp_ns, image.received_ns)
            self._on_restart(f'image stamps went back by {back_ns / 1e9:.1f} s')
        return self._intake.offer(_Arrived(image, stamp_ns))

    def _frame(self, arrived):
        image = arrived.image
        picture = image.to_rgb()
        height_px, width_px, _ = picture.shape
        self.picture_kind = f'{width_px}x{height_px} {image.encoding}'
        return Frame(picture, arrived.stamp_ns, image.received_ns)

    def _hand_over(self, frame, image):
        self.num_used += self._on_frame(frame, image.frame_id)
        event = self._pictures.look(
            frame.image, frame.stamp_ns, frame.received_ns, image.encoding, image.content)
        if event is not None:
            self._on_trouble(event)
            logger = self._node.get_logger()
            if event.reason is CameraReason.CLEAR:
                logger.info(f'{self.topic}: {event.text}')
            else:
                logger.warning(f'{self.topic}: {self.picture_trouble}')

    def _is_of_before(self, stamp_ns):
        """Whether an image was under way while the clock was set back."""
        set_back = self._set_back
        if set_back is None or time.monotonic_ns() - set_back.at_ns > UNDER_WAY_NS:
            return False
        return abs(stamp_ns - set_back.from_ns) < RESTART_NS < stamp_ns - set_back.to_ns

    def _stamp_ns(self, image):
        """Return the header stamp, the node's time where the driver leaves it zero."""
        time_ns = stamp_to_ns(image.stamp)
        if time_ns < 0:
            raise BadImageError(
                'bad_stamp', f'the stamp is {time_ns / 1e9:.3f} s, before all time')
        if time_ns == 0:
            time_ns = self._now_ns()
            if time_ns == 0:
                raise BadImageError(
                    'no_time', 'the image has no stamp and nothing is published on /clock; '
                    'publish it, or set use_sim_time to false')
        return time_ns

    def _now_ns(self):
        return self._node.get_clock().now().nanoseconds

    def _tell_of_stamps(self):
        """Log once each what is odd about the stamps, and that they move again."""
        kind = 'frozen' if self._intake.has_frozen_stamps else (
            'two clocks' if self._intake.has_two_clocks else '')
        if kind and kind not in self._told:
            self._told.add(kind)
            self._node.get_logger().warning(self.stamp_trouble)
        elif kind != 'frozen' and 'frozen' in self._told and 'moving' not in self._told:
            self._told.add('moving')
            self._node.get_logger().info(f'the header stamps on {self.topic} move again')

    def _count_bad(self, error):
        self.num_bad_by_kind[error.kind] += 1
        if self.num_bad_by_kind[error.kind] == 1:
            self._node.get_logger().warning(
                f'an image is not used: {error} (more of the kind {error.kind!r} are only '
                'counted)')

    # Whether they come

    def _note_arrival(self, received_ns):
        self.num_received += 1
        if self.state not in (InputState.WAITING, InputState.ARRIVING):
            self._node.get_logger().info(
                f'images arrive on {self.topic} again, after '
                f'{(received_ns - self._quiet_since_ns) / NS_PER_S:.1f} s')
        self.state, self.trouble = InputState.ARRIVING, ''
        self._last_arrival_ns = self._quiet_since_ns = received_ns
        self._arrivals_ns.append(received_ns)
        self._forget_arrivals_before(received_ns - RATE_WINDOW_NS)

    def _forget_arrivals_before(self, time_ns):
        while self._arrivals_ns and self._arrivals_ns[0] < time_ns:
            self._arrivals_ns.popleft()

    def _watch(self):
        self._topic.look()
        quiet_s = _age_s(self._quiet_since_ns)
        if quiet_s < self._stale_after_s and not self._topic.not_installed:
            return
        state, trouble = self._topic.problem(quiet_s)
        self.trouble = trouble
        if state is not self.state:
            self.state = state
            self._node.get_logger().warning(trouble)


def _age_s(monotonic_ns):
    return (time.monotonic_ns() - monotonic_ns) / NS_PER_S
