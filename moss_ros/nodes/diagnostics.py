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
The health of a narrator on `/diagnostics`, once a second, in every state of its lifecycle.

Counters and figures go in; diagnostic_msgs/DiagnosticArray comes out, as diagnostic_updater would
send it. Where something is wrong, the message says what to do. It only reads the objects that it
is given. The narrator makes it and tells it when it is activated and deactivated.
"""

from collections import deque

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from moss_ros.nodes.image_input import ImageInput
from moss_ros.nodes.image_topic import InputState
from moss_ros.stream import (
    Channel, ErrorEvent, Event, Mailbox, Session, SessionFigures, StreamStatistics, WorkerState,
)
from moss_ros.stream.supervision import Supervisor
import psutil
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
import torch

PERIOD_S = 1.0
# Dropped and bad images are reported for this many periods.
NUM_PERIODS_TOLD = 10
# Longer than any step, except the first ones of a large model.
HANG_S = 10.0
_NO_FIGURES = SessionFigures(device=None, context=None)
_OUT_OF_MEMORY = ('OutOfMemoryError', 'out of memory', 'MemoryError')
_WAY_ON_BY_STATE = {
    'unconfigured': ': configure it to narrate', 'inactive': ': activate it to narrate',
    'finalized': ': start it anew to narrate'}


class Diagnostics:
    """
    Publishes two statuses: 'camera', the input, and 'model', the model and its stream.

    Everything is called on the executor's thread, except observe(). trouble: why the last
    transition failed, '' if it did not; set by the narrator.
    """

    def __init__(self, node, image_input: ImageInput):
        self.trouble = ''
        self._node = node
        self._input = image_input
        self._session = self._channel = self._mailbox = self._supervisor = None
        self._statistics = StreamStatistics()
        self._last_error = ''
        self._num_dropped_before = self._num_forgotten_before = 0
        # Starts at 0, so that the first report also tells what happened before it.
        self._history = deque([(0, 0)], maxlen=NUM_PERIODS_TOLD)
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10))
        # On steady time: with use_sim_time, the node's own clock may stand still.
        node.create_timer(PERIOD_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def begin(self, session: Session, channel: Channel, mailbox: Mailbox,
              supervisor: Supervisor) -> None:
        """Report on these from now on: the node is active."""
        self._session, self._channel = session, channel
        self._mailbox, self._supervisor = mailbox, supervisor
        self._statistics = StreamStatistics()

    def end(self) -> None:
        """Report on no stream from now on: the node is not active."""
        if self._mailbox is not None:
            self._num_dropped_before += self._mailbox.num_dropped_frames
            self._num_forgotten_before += self._mailbox.num_forgotten_frames
        self._session = self._channel = self._mailbox = self._supervisor = None

    def observe(self, event: Event, now_ns: int) -> None:
        """Take an event of the stream, heard at now_ns by time.monotonic_ns(); any thread."""
        if isinstance(event, ErrorEvent) and event.prompt_id is None:
            self._last_error = event.message
        self._statistics.observe(event, now_ns)

    @property
    def stuck_s(self) -> float:
        """Seconds for which the model has taken no step although something waits for it."""
        channel = self._channel
        if channel is None or channel.is_paused or channel.state is not WorkerState.RUNNING:
            return 0.0
        return self._mailbox.waiting_s

    def statuses(self) -> list[DiagnosticStatus]:
        """Return both statuses as they are now."""
        name = self._node.get_name()
        if self._node.get_namespace() != '/':
            # Only the namespace tells several cameras apart.
            name = self._node.get_fully_qualified_name().lstrip('/')
        return [
            DiagnosticStatus(
                name=f'{name}: {task}', hardware_id=self._hardware_id(), level=level,
                message=message,
                values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()])
            for task, (level, message), values in (
                ('camera', self._judge_camera(), self._camera_values()),
                ('model', self.judge_model(), self._model_values()))]

    def _publish(self):
        self._history.append((self._num_dropped, self._input.num_bad_by_kind.total()))
        message = DiagnosticArray(status=self.statuses())
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    @property
    def _num_dropped(self):
        now = 0 if self._mailbox is None else self._mailbox.num_dropped_frames
        return self._num_dropped_before + now

    @property
    def _num_forgotten(self):
        now = 0 if self._mailbox is None else self._mailbox.num_forgotten_frames
        return self._num_forgotten_before + now

    def _hardware_id(self):
        device = self._figures().device
        if device is not None and device.type == 'cuda':
            return f'{device}: {torch.cuda.get_device_name(device)}'
        return str(device or 'none')

    # What comes in

    def _judge_camera(self):
        state, image_input = self._input.state, self._input
        if state is InputState.STOPPED:
            return DiagnosticStatus.OK, 'not watching: the narrator is not active'
        if state in (InputState.INCOMPATIBLE, InputState.NOT_INSTALLED):
            return DiagnosticStatus.ERROR, image_input.trouble
        if image_input.trouble:
            return DiagnosticStatus.STALE, image_input.trouble
        if image_input.stamp_trouble:
            return DiagnosticStatus.WARN, image_input.stamp_trouble
        if image_input.picture_trouble:
            return DiagnosticStatus.WARN, image_input.picture_trouble
        num_dropped, num_bad = self._history[0]
        num_new_bad = image_input.num_bad_by_kind.total() - num_bad
        if num_new_bad:
            kinds = ', '.join(f'{kind}: {num}' for kind, num in
                              sorted(image_input.num_bad_by_kind.items()))
            return DiagnosticStatus.WARN, (
                f'{num_new_bad} images of the last seconds cannot be used ({kinds} so far); the '
                'log says what is wrong with the first of each kind')
        if self._num_dropped > num_dropped:
            return DiagnosticStatus.WARN, (
                f'{self._num_dropped - num_dropped} frames of the last seconds were dropped: '
                f'{self._slowness_text()}; lower frame_rate, or use a faster device')
        return DiagnosticStatus.OK, state.value

    def _slowness_text(self):
        cost_s = self._channel.encode_s_per_frame if self._channel else None
        period_s = 1 / self._input.frame_rate_fps
        if cost_s is None or cost_s < period_s:
            return 'the model is slower than they come'
        shown_every_s = round(cost_s) if cost_s >= 2 else round(cost_s, 1)
        return (f'the model takes {cost_s:.1f} s a frame: about one frame in {shown_every_s} s '
                'is shown')

    def _camera_values(self):
        image_input = self._input
        age_s = image_input.last_image_age_s
        return {
            'topic': image_input.topic,
            'state': image_input.state.value,
            'picture': image_input.picture_kind,
            'time of images': 'arrival' if image_input.has_frozen_stamps else 'header stamps',
            'input rate (images/s)': image_input.input_fps,
            'time since the newest image (s)': age_s,
            'identical pictures (s)': image_input.identical_s,
            'images received': image_input.num_received,
            'frames used': image_input.num_used,
            'frames dropped': self._num_dropped,
            'frames forgotten': self._num_forgotten,
            'images bad': image_input.num_bad_by_kind.total(),
            **{f'images bad: {kind}': num
               for kind, num in sorted(image_input.num_bad_by_kind.items())},
        }

    # The model and its stream

    def judge_model(self) -> tuple[bytes, str]:
        """Return how the model and its stream are: the level of a status, and its message."""
        if self.trouble:
            return DiagnosticStatus.ERROR, self.trouble
        if self._channel is None:
            state = self._lifecycle_state
            return DiagnosticStatus.OK, f'{state}{_WAY_ON_BY_STATE.get(state, "")}'
        if self._channel.state is WorkerState.FAILED:
            return DiagnosticStatus.ERROR, self._failure_text()
        if self._channel.is_paused:
            return DiagnosticStatus.OK, 'paused: call ~/pause with false to go on'
        if self.stuck_s > HANG_S:
            return DiagnosticStatus.STALE, (
                f'the model has taken no step for {self.stuck_s:.0f} s though something waits: it '
                'hangs, or is far too slow for this device; deactivate it, and choose a smaller '
                'or quantised model')
        return DiagnosticStatus.OK, 'narrating'

    def _failure_text(self):
        restart_in_s = self._supervisor.restart_in_s
        text = self._last_error or 'the model failed'
        if any(sign in text for sign in _OUT_OF_MEMORY):
            text += ('; out of memory: free memory on the device, quantise the model '
                     '(quantization), or choose a larger device')
        if restart_in_s is not None:
            text += f'; it is started again in {restart_in_s:.0f} s'
        return text

    def _figures(self):
        return _NO_FIGURES if self._session is None else self._session.figures()

    @property
    def _lifecycle_state(self):
        return self._node.lifecycle_state

    def _model_values(self):
        speed = self._statistics.speed()
        values = {
            'lifecycle': self._lifecycle_state,
            'worker': 'none' if self._channel is None else self._channel.state.value,
            'state': 'none' if self._session is None else self._session.state.value,
            'paused': 'yes' if self._channel is not None and self._channel.is_paused else 'no',
            'time to first token (ms)': speed.first_token_ms,
            'time from prompt to answer (ms)': speed.answer_ms,
            'time to encode a frame (ms)': None if self._channel is None
            or self._channel.encode_s_per_frame is None
            else 1e3 * self._channel.encode_s_per_frame,
            'speed (tokens/s)': speed.num_tokens_per_s,
            'latency frame to text p50 (ms)': speed.latency_p50_ms,
            'latency frame to text p95 (ms)': speed.latency_p95_ms,
            'last error': self._last_error,
        }
        figures = self._figures()
        context = figures.context
        if context is not None:
            values['context tokens'] = f'{context.num_tokens} of {context.max_tokens}'
            values['context frames'] = f'{context.num_frames} of {context.max_frames}'
            values['context fill (%)'] = 100 * max(
                context.num_tokens / context.max_tokens, context.num_frames / context.max_frames)
            values['context rollovers'] = context.num_rollovers
        values['memory of the process (MB)'] = _resident_bytes() / 1e6
        device = figures.device
        if device is not None and device.type == 'cuda':
            values |= _device_memory(device)
        return values


def _resident_bytes():
    """Bytes of memory that the process holds; 0 where the system does not tell."""
    try:
        return psutil.Process().memory_info().rss
    except (psutil.Error, OSError):
        return 0


def _device_memory(device):
    try:
        num_free, num_all = torch.cuda.mem_get_info(device)
    except RuntimeError:  # after a failure the device may answer nothing any more
        return {}
    return {'memory of the device in use (MB)': (num_all - num_free) / 1e6,
            'memory of the device (MB)': num_all / 1e6}


def _text(value):
    if value is None:
        return ''
    return f'{value:.1f}' if isinstance(value, float) else str(value)
