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
The parts of a narrator that run from its activation to its deactivation, as one object.

Settings, a loaded session and its worker go in; frames and prompts then go to the model, and its
events to the topics. Made by the narrator. Everything is called on the executor's thread, except
_hear() on the worker's thread.
"""

from collections.abc import Callable
from contextlib import ExitStack
import gc
import time

from moss_ros.engines.loading import stream_change
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.diagnostics import Diagnostics
from moss_ros.nodes.image_input import ImageInput
from moss_ros.nodes.output_topics import Outputs, OverlayPublisher
from moss_ros.nodes.prompt_listeners import PROMPT_QOS
from moss_ros.nodes.rclpy_names import ClockChange
from moss_ros.settings import NarratorSettings
from moss_ros.stream import CameraEvent, Channel, Event, Frame, Mailbox, Session, Worker
from moss_ros.stream.intake import RESTART_NS
from moss_ros.stream.mailbox import Prompter
from moss_ros.stream.supervision import Supervisor
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String
import torch

SUPERVISION_PERIOD_S = 0.2
STOP_TIMEOUT_S = 2.0
OVERLAY_TIMEOUT_S = 0.3


class Activation:
    """
    The running parts of a narrator: channel, overlay, supervision, subscriptions.

    If one of them cannot be made, those made before it are closed and the exception is raised.
    """

    def __init__(self, node: LifecycleNode, settings: NarratorSettings, session: Session,
                 worker: Worker, converter: ImageConverter, outputs: Outputs,
                 image_input: ImageInput, prompter: Prompter, diagnostics: Diagnostics,
                 on_prompt: Callable[[String], None]):
        """Start the worker, then subscribe. Raises what any of the parts raises."""
        self._node = node
        self._session = session
        self._worker = worker
        self._outputs = outputs
        self._image_input = image_input
        self._prompter = prompter
        self._diagnostics = diagnostics
        self._were_stamps_first = False
        self._has_worker_ended = True
        # If a part cannot be made, the parts before it are undone in reverse order.
        with ExitStack() as stack:
            # Take over the parameters that were set while the node was inactive.
            session.reset()
            session.apply(stream_change(settings))
            self._mailbox = Mailbox(settings.mailbox_size)
            # Twice the mailbox: while the model takes in a full one, the next one may fill up.
            self._overlay = OverlayPublisher(
                node, outputs.overlay, outputs.compressed_overlay, 2 * settings.mailbox_size)
            stack.callback(self._overlay.close, OVERLAY_TIMEOUT_S)
            self._start(settings, stack)
            self._supervise(stack)
            stack.callback(image_input.stop)
            image_input.start(
                settings, settings.frame_rate or session.frame_rate_fps, converter)
            stack.callback(node.destroy_subscription, node.create_subscription(
                String, 'prompt', on_prompt, PROMPT_QOS))
            self._undoing = stack.pop_all()

    @property
    def channel(self) -> Channel:
        """Return the stream as it is served."""
        return self._channel

    def close(self) -> bool:
        """
        Unsubscribe and stop the worker; takes at most STOP_TIMEOUT_S + OVERLAY_TIMEOUT_S.

        Returns whether no step runs any more. May be called twice.
        """
        self._undoing.close()
        return self._has_worker_ended

    def add_frame(self, frame: Frame, frame_id: str) -> bool:
        """Hand a chosen frame to the model, unless it is paused; return whether it was."""
        if self._channel.is_paused:
            return False
        self._overlay.add_frame(frame, frame_id)
        self._mailbox.submit_frame(frame)
        return True

    def ask_now(self, ask: Callable[[], None]) -> None:
        """Call ask(), then show the model the newest image, so that it can answer at once."""
        ask()
        self._image_input.show_newest()

    def change(self, settings: NarratorSettings, names: set[str]) -> None:
        """Apply settings to the running stream; names are the parameters that were set."""
        self._channel.apply(stream_change(settings))
        if 'frame_rate' in names:
            self._image_input.set_frame_rate(settings.frame_rate or self._session.frame_rate_fps)
        if 'prompt' in names:
            self._prompter.standing = settings.prompt
            self.ask_now(self._prompter.ask_standing)

    def begin_anew(self):
        """Forget the stream, ask the standing prompt again; return the future of the reset."""
        future = self._channel.request_reset()
        # Asked after the reset and before any frame of the new stream.
        self._prompter.ask_standing()
        return future

    def begin_anew_after_stamps(self, reason: str) -> None:
        """Begin anew because the stamps of the images went back."""
        self._were_stamps_first = True
        self._begin_anew_because(reason)

    def tell_of_camera(self, event: CameraEvent) -> None:
        """Publish what is the matter with the camera's pictures."""
        self._outputs.publish(event)

    def _start(self, settings, stack):
        stack.callback(self._stop_worker)
        self._channel = self._worker.open_channel(
            self._session, self._mailbox, self._hear, settings.max_tokens_per_second)
        self._prompter.standing = settings.prompt
        stack.callback(self._prompter.close)
        self._prompter.open(self._mailbox)
        self._worker.start()

    def _stop_worker(self):
        self._has_worker_ended = self._worker.close(STOP_TIMEOUT_S)

    def _supervise(self, stack):
        node = self._node
        supervisor = Supervisor(self._channel, self._prepare_restart, node.get_logger())
        stack.callback(self._diagnostics.end)
        self._diagnostics.begin(self._session, self._channel, self._mailbox, supervisor)
        # On steady time: with use_sim_time, a node's own clock may stand still.
        timer = node.create_timer(SUPERVISION_PERIOD_S, supervisor.look,
                                  clock=Clock(clock_type=ClockType.STEADY_TIME))
        stack.callback(node.destroy_timer, timer)
        jump_handle = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=True),
            post_callback=self._begin_anew_after_jump)
        stack.callback(jump_handle.unregister)

    def _begin_anew_after_jump(self, jump):
        were_stamps_first, self._were_stamps_first = self._were_stamps_first, False
        if jump.clock_change != ClockChange.ROS_TIME_NO_CHANGE:
            self._image_input.forget_stamps()
            self._image_input.watch_pictures_anew()
            self._begin_anew_because('use_sim_time was changed')
            return
        now_ns = self._node.get_clock().now().nanoseconds
        newest_ns = self._image_input.newest_stamp_ns
        if were_stamps_first and newest_ns is not None and newest_ns < now_ns + RESTART_NS:
            return  # the stream began anew already, at the first image with the new time
        self._image_input.forget_stamps(now_ns)
        self._begin_anew_because('the clock was set back')

    def _begin_anew_because(self, reason):
        self._node.get_logger().warning(f'{reason}: the stream begins anew')
        try:
            self.begin_anew()
        except RuntimeError:
            pass  # the worker has failed; the stream begins anew when it is started again

    def _prepare_restart(self):
        free_memory()
        self._prompter.ask_standing()

    def _hear(self, event: Event):
        """Take an event of the stream, on the worker's thread."""
        self._outputs.publish(event)
        self._diagnostics.observe(event, time.monotonic_ns())
        self._overlay.follow(event)


def free_memory() -> None:
    """Give memory that nothing refers to any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
