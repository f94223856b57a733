"""
The camera of a narrator: image messages in, chosen and converted frames out, by a callback.

A FrameIntake chooses the frames. Images that cannot be used are counted, and when none arrives,
state and trouble say why. Made by the narrator, which starts it when it is activated.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
import time

from moss_ros.images import BadImageError
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.settings import NarratorSettings
from moss_ros.stream import Frame
from moss_ros.stream.intake import FrameIntake, LateFrameError, RESTART_NS
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

NS_PER_S = 1_000_000_000
# How long after time was set back images may still arrive with stamps from before.
UNDER_WAY_NS = 2 * NS_PER_S
RATE_WINDOW_NS = 5 * NS_PER_S
MAX_WATCH_PERIOD_S = 0.5
MAX_TOPICS_NAMED = 5


class InputState(Enum):
    """How images arrive; the states after ARRIVING mean that none came for stale_after_s."""

    STOPPED = 'stopped'
    WAITING = 'waiting for the first image'
    ARRIVING = 'arriving'
    NO_PUBLISHER = 'no publisher'
    INCOMPATIBLE = 'incompatible QoS'
    NOTHING_ARRIVES = 'nothing arrives'


@dataclass(frozen=True)
class _Arrived:
    """An image, its stamp, and when it came by time.monotonic_ns()."""

    message: Image | CompressedImage
    stamp_ns: int
    received_ns: int


@dataclass(frozen=True)
class _SetBack:
    """Time was set back: the stamps before and after, and when, by time.monotonic_ns()."""

    from_ns: int
    to_ns: int
    at_ns: int


class ImageInput:
    """
    Subscribes to one camera between start() and stop(), and watches whether images arrive.

    - on_frame(frame, frame_id) gets each chosen Frame and the frame_id of its header.
      on_restart(reason) is called when the stamps went back, before the next frame. Neither may
      block.
    - num_received, num_used, num_bad_by_kind: images that arrived, that were handed over, and
      that could not be used, since this was made. The intake left out the rest.
    - state, trouble: how the images arrive, and what is wrong and can be done; '' if all is well.
    - picture_kind: size and encoding of the newest frame, such as '640x480 rgb8'.

    Everything is called on the executor's thread.
    """

    def __init__(self, node: Node, on_frame: Callable[[Frame, str], None],
                 on_restart: Callable[[str], None]):
        self.num_received = 0
        self.num_used = 0
        self.num_bad_by_kind: Counter[str] = Counter()
        self.state = InputState.STOPPED
        self.trouble = ''
        self.picture_kind = ''
        self._node = node
        self._on_frame = on_frame
        self._on_restart = on_restart
        # On steady time: with use_sim_time, the node's own clock may stand still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._subscription = self._watch_timer = None
        self._last_arrival_ns: int | None = None
        self._arrivals_ns: deque[int] = deque()
        self._intake: FrameIntake[_Arrived] | None = None  # made by start()
        self._set_back: _SetBack | None = None
        self._told: set[str] = set()  # of what was odd about the stamps, since the start

    def start(self, settings: NarratorSettings, frame_rate_fps: float,
              converter: ImageConverter) -> None:
        """Subscribe as the settings say, and choose frame_rate_fps frames a second."""
        self._converter = converter
        self._reliability = ReliabilityPolicy[settings.image_reliability.upper()]
        self._stale_after_s = settings.stale_after_s
        self._intake = FrameIntake(frame_rate_fps, self._frame)
        self._set_back = None
        self._told.clear()
        self._arrivals_ns.clear()
        self._last_arrival_ns = None
        self._quiet_since_ns = time.monotonic_ns()
        self.state, self.trouble = InputState.WAITING, ''
        self._subscription = self._subscribe(settings.image_transport == 'compressed')
        self._watch_timer = self._node.create_timer(
            min(MAX_WATCH_PERIOD_S, settings.stale_after_s / 2), self._watch,
            clock=self._steady_clock)

    def stop(self) -> None:
        """Unsubscribe; undoes a start() that failed half way, does nothing if not started."""
        if self._watch_timer is not None:
            self._node.destroy_timer(self._watch_timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._watch_timer = None
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
        if newest is None or _age_s(newest.received_ns) > self._stale_after_s:
            return
        try:
            frame = self._intake.show_left_out()
        except BadImageError as error:
            self._count_bad(error)
            return
        self._hand_over(frame, newest.message)

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
        return '' if self._subscription is None else self._subscription.topic_name

    @property
    def has_frozen_stamps(self) -> bool:
        """Whether the header stamps do not change, so that the time of arrival counts."""
        return self._intake is not None and self._intake.has_frozen_stamps

    @property
    def stamp_trouble(self) -> str:
        """What is wrong with the header stamps, and what to do about it; '' if all is well."""
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

    def _subscribe(self, is_compressed):
        # Only the newest picture counts; what the executor was too busy for is not missed.
        qos = QoSProfile(depth=1, reliability=self._reliability)
        events = SubscriptionEventCallbacks(incompatible_qos=self._warn_incompatible)
        if is_compressed:
            # Below the camera's topic also where that is remapped, as image_transport does it.
            image = self._node.resolve_topic_name('image')
            return self._node.create_subscription(
                CompressedImage, f'{image}/compressed', self._on_image, qos,
                event_callbacks=events)
        return self._node.create_subscription(
            Image, 'image', self._on_image, qos, event_callbacks=events)

    # Images

    def _on_image(self, message):
        received_ns = time.monotonic_ns()
        self._note_arrival(received_ns)
        try:
            frame = self._chosen_frame(message, received_ns)
        except (BadImageError, LateFrameError) as error:
            self._count_bad(error)
            return
        finally:
            self._tell_of_stamps()
        if frame is not None:
            self._hand_over(frame, message)

    def _chosen_frame(self, message, received_ns):
        """Return a Frame, None if left out; the stamp of a message with no picture is ignored."""
        self._converter.check(message)
        # Since the node's time stands at 0 until there is a /clock.
        stamp_ns = self._intake.time_ns(self._stamp_ns(message), self._now_ns() or None)
        if self._is_of_before(stamp_ns):
            raise LateFrameError('the stamp is of the time before the clock was set back')
        back_ns = self._intake.admit(stamp_ns)
        if back_ns:
            if back_ns >= RESTART_NS:
                self._set_back = _SetBack(stamp_ns + back_ns, stamp_ns, received_ns)
            self._on_restart(f'image stamps went back by {back_ns / 1e9:.1f} s')
        return self._intake.offer(_Arrived(message, stamp_ns, received_ns))

    def _frame(self, image):
        message = image.message
        picture = self._converter.to_rgb(message)
        height_px, width_px, _ = picture.shape
        kind = message.format if isinstance(message, CompressedImage) else message.encoding
        self.picture_kind = f'{width_px}x{height_px} {kind}'
        return Frame(picture, image.stamp_ns, image.received_ns)

    def _hand_over(self, frame, message):
        self.num_used += 1
        self._on_frame(frame, message.header.frame_id)

    def _is_of_before(self, stamp_ns):
        """Whether an image was under way while the clock was set back."""
        set_back = self._set_back
        if set_back is None or time.monotonic_ns() - set_back.at_ns > UNDER_WAY_NS:
            return False
        return abs(stamp_ns - set_back.from_ns) < RESTART_NS < stamp_ns - set_back.to_ns

    def _stamp_ns(self, message):
        """Return the header stamp, the node's time where the driver leaves it zero."""
        stamp = message.header.stamp
        stamp_ns = stamp.sec * NS_PER_S + stamp.nanosec
        if stamp_ns < 0:
            raise BadImageError(
                'bad_stamp', f'the stamp is {stamp_ns / 1e9:.3f} s, before all time')
        if stamp_ns == 0:
            stamp_ns = self._now_ns()
            if stamp_ns == 0:
                raise BadImageError(
                    'no_time', 'the image has no stamp and nothing is published on /clock; '
                    'publish it, or set use_sim_time to false')
        return stamp_ns

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
        quiet_s = _age_s(self._quiet_since_ns)
        if quiet_s < self._stale_after_s:
            return
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            state, trouble = InputState.NO_PUBLISHER, self._no_publisher_text()
        elif all(map(self._is_incompatible, publishers)):
            state, trouble = InputState.INCOMPATIBLE, self._incompatible_text()
        else:
            state = InputState.NOTHING_ARRIVES
            trouble = (
                f'{self.topic} has a publisher, but no image has arrived for {quiet_s:.0f} s: '
                'the camera stands still, or its images are too large for the transport; see '
                f"'ros2 topic hz {self.topic}' and docs/large_images.md")
        self.trouble = trouble
        if state is not self.state:
            self.state = state
            self._node.get_logger().warning(trouble)

    def _is_incompatible(self, publisher):
        return (self._reliability is ReliabilityPolicy.RELIABLE
                and publisher.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT)

    def _warn_incompatible(self, event):
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY:
            self._node.get_logger().warning(self._incompatible_text())
        else:
            self._node.get_logger().warning(
                f'a publisher on {self.topic} is not heard: it offers less than is asked for in '
                f'{QoSPolicyKind(event.last_policy_kind).name}')

    def _incompatible_text(self):
        return (f'a publisher on {self.topic} is not heard: it publishes best effort, and '
                'image_reliability asks for reliable; start with image_reliability:=best_effort')

    def _no_publisher_text(self):
        message_type = self._subscription.msg_type
        type_name = f'sensor_msgs/msg/{message_type.__name__}'
        others = [name for name, types in self._node.get_topic_names_and_types()
                  if type_name in types and self._node.count_publishers(name)]
        text = (f'nobody publishes {message_type.__name__} on {self.topic}: start the camera, or '
                "remap 'image' to its topic")
        if others:
            text += f'; there is {", ".join(others[:MAX_TOPICS_NAMED])}'
        return text


def _age_s(monotonic_ns):
    return (time.monotonic_ns() - monotonic_ns) / NS_PER_S
