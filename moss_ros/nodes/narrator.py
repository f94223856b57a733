"""
The narrator: a lifecycle node that says what a camera sees while it happens.

Images and prompts come in, pieces of text, the silence state, narrations and events go out. The
model runs on the worker's thread, so that the executor stays free. Knows nothing of tokens or
weights. Run by `make demo` and the launch files; drives everything in moss_ros/stream.
"""

from collections import Counter
import gc
import itertools
import logging
import time
from typing import NoReturn

from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.image_input import ImageInput
from moss_ros.nodes.loading import make_engine
from moss_ros.nodes.messages import event_json
from moss_ros.nodes.overlay_publisher import OverlayPublisher
from moss_ros.nodes.parameters import declare_settings, NarratorSettings, read_settings
from moss_ros.nodes.running import run_node
from moss_ros.remote import RemoteSession
from moss_ros.stream import (
    Mailbox, NarrationEvent, Prompt, SessionState, StateEvent, TokenEvent, WorkerState,
)
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
import torch

SUPERVISION_PERIOD_S = 0.2
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
# A worker that ran for longer than this since its last start begins with the first backoff.
STABLE_AFTER_S = 60.0
STOP_TIMEOUT_S = 1.5
OVERLAY_TIMEOUT_S = 0.3


class Narrator(LifecycleNode):
    """
    Unconfigured it holds nothing; inactive it holds the weights; active it watches and speaks.

    Callbacks run on the executor's thread and never wait for the model. Events come on the
    worker's thread and are published from there: rclpy's publishers may be used by any thread.
    """

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed."""
        super().__init__('narrator', **node_options)
        declare_settings(self, NarratorSettings)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._log_handler = _RosLog(self.get_logger())
        # Timers on steady time: with use_sim_time, a node's own clock may stand still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._session = None
        self._worker = None
        self._channel = None
        self._overlay = None
        self._converter = None
        self.image_input = ImageInput(self, self._on_frame, self._restart_stream)
        self._managed_publishers = []
        self._prompt_subscription = None
        self._prompt_numbers = itertools.count(1)
        self._event_numbers = itertools.count()
        self._autostart_timer = None
        if self.get_parameter('autostart').value:
            self._autostart_timer = self.create_timer(
                0.0, self._start_by_itself, clock=self._steady_clock)

    @property
    def num_bad_by_kind(self) -> Counter:
        """Images and stamps that could not be used, counted by kind since the node was made."""
        return Counter(self.image_input.num_bad_by_kind)

    def close(self) -> None:
        """Stop the threads, in any state; takes at most STOP_TIMEOUT_S + OVERLAY_TIMEOUT_S."""
        if isinstance(self._session, RemoteSession):
            self._session.give_up()
        if self._worker is not None:
            self._worker.close(STOP_TIMEOUT_S)
        if self._overlay is not None:
            self._overlay.close(OVERLAY_TIMEOUT_S)
        self._close_session()
        logging.getLogger('moss_ros').removeHandler(self._log_handler)

    # Lifecycle

    def on_configure(self, state) -> TransitionCallbackReturn:
        """Load the weights, warm up and create the publishers; FAILURE says why in the log."""
        settings = read_settings(self, NarratorSettings)
        try:
            start_s = time.monotonic()
            self._converter = ImageConverter((settings.depth_min_m, settings.depth_max_m))
            if self._converter.without_cv_bridge:
                self.get_logger().info(
                    'images are converted without cv_bridge, which cannot be used: '
                    f'{self._converter.without_cv_bridge}')
            self._session, self._worker = make_engine(settings)
            self._create_publishers()
        # rclpy would turn any exception into a failure without a word.
        except Exception as error:
            self.get_logger().error(f'cannot be configured: {error}')
            self._release()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f'{settings.checkpoint or "the embedded model"} loaded in '
            f'{time.monotonic() - start_s:.1f} s, '
            f'{self._session.options.frame_rate_fps:g} frames/s')
        return super().on_configure(state)

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Enable the outputs, start the worker and subscribe."""
        settings = read_settings(self, NarratorSettings)
        super().on_activate(state)
        logging.getLogger('moss_ros').addHandler(self._log_handler)
        self._session.reset()
        self._mailbox = Mailbox(settings.mailbox_size)
        # As many may wait again while the model takes a full mailbox in.
        self._overlay = OverlayPublisher(
            self, self._overlay_publisher, self._compressed_overlay_publisher,
            2 * settings.mailbox_size)
        self._channel = self._worker.open_channel(
            self._session, self._mailbox, self._publish_event, settings.max_tokens_per_second)
        if settings.prompt.strip():
            self._ask(settings.prompt)
        self._start_worker()
        self._backoff_s = 0.0
        self._supervision_timer = self.create_timer(
            SUPERVISION_PERIOD_S, self._supervise, clock=self._steady_clock)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=True),
            post_callback=self._restart_after_jump)
        self.image_input.start(
            settings, settings.frame_rate or self._session.options.frame_rate_fps,
            self._converter)
        self._prompt_subscription = self.create_subscription(
            String, 'prompt', self._on_prompt, QoSProfile(depth=10))
        self.get_logger().info(f'active: watching {self.image_input.topic}')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker; the weights stay."""
        if not self._stop_watching():
            self.get_logger().error(
                f'the worker is still in a step after {STOP_TIMEOUT_S} s; cleaning up')
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the weights and the publishers."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self._stop_watching()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state) -> TransitionCallbackReturn:
        """Stop and free everything; SUCCESS: the node may be configured anew."""
        self._stop_watching()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _start_by_itself(self):
        self._autostart_timer.cancel()
        if self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        else:
            self.get_logger().warning(
                'waits unconfigured: mend what was reported, then request the configure and '
                'activate transitions, or start it again')

    def _create_publishers(self):
        in_order = QoSProfile(depth=100)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._token_publisher = self.create_lifecycle_publisher(String, '~/tokens', in_order)
        self._silence_publisher = self.create_lifecycle_publisher(Bool, '~/silence', latched)
        self._narration_publisher = self.create_lifecycle_publisher(
            String, '~/narration', in_order)
        self._event_publisher = self.create_lifecycle_publisher(String, '~/events', in_order)
        self._overlay_publisher = self.create_lifecycle_publisher(
            Image, '~/overlay', qos_profile_sensor_data)
        self._compressed_overlay_publisher = self.create_lifecycle_publisher(
            CompressedImage, '~/overlay/compressed', qos_profile_sensor_data)
        self._managed_publishers = [
            self._token_publisher, self._silence_publisher, self._narration_publisher,
            self._event_publisher, self._overlay_publisher, self._compressed_overlay_publisher]

    def _stop_watching(self):
        """Undo on_activate; return whether the worker has ended."""
        self.image_input.stop()
        if self._prompt_subscription is not None:
            self.destroy_subscription(self._prompt_subscription)
            self._prompt_subscription = None
        if self._channel is None:
            return True
        self.destroy_timer(self._supervision_timer)
        self._jump_handle.unregister()
        self._channel = None
        has_ended = self._worker.close(STOP_TIMEOUT_S)
        self._overlay.close(OVERLAY_TIMEOUT_S)
        logging.getLogger('moss_ros').removeHandler(self._log_handler)
        return has_ended

    def _release(self):
        """Undo on_configure, as far as it came."""
        for publisher in self._managed_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._managed_publishers = []
        self._close_session()
        self._session = self._worker = self._converter = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _close_session(self):
        # Of this package's own sessions, nothing is left but memory.
        if isinstance(self._session, RemoteSession):
            self._session.close()

    def _apply_parameters(self, parameters):
        for item in parameters:
            # The standing prompt is read at the next activation.
            if item.name == 'frame_rate' and self._channel is not None:
                self.image_input.set_frame_rate(item.value or self._session.options.frame_rate_fps)

    # Inputs

    def _on_frame(self, frame, frame_id):
        self._overlay.add_frame(frame, frame_id)
        self._mailbox.submit_frame(frame)

    def _on_prompt(self, message):
        if not message.data.strip():
            self.get_logger().warning('an empty prompt is ignored')
            return
        self._ask(message.data)

    def _ask(self, text):
        prompt_id = f'prompt-{next(self._prompt_numbers)}'
        self._mailbox.submit_prompt(Prompt(text, prompt_id, time.monotonic_ns()))

    def _restart_after_jump(self, jump):
        self._restart_stream('the clock was set back or changed')

    def _restart_stream(self, reason):
        self.get_logger().warning(f'{reason}: the stream begins anew')
        self.image_input.forget_stamps()
        if self._worker.state is WorkerState.RUNNING:
            self._channel.request_reset()

    # Worker

    def _start_worker(self):
        self._started_s = time.monotonic()
        self._restart_at_s = None
        self._worker.start()

    def _supervise(self):
        """Start a failed worker again, later each time it fails soon after."""
        if self._worker.state is not WorkerState.FAILED:
            return
        now_s = time.monotonic()
        if self._restart_at_s is None:
            if now_s - self._started_s > STABLE_AFTER_S + self._backoff_s:
                self._backoff_s = 0.0
            self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S) or FIRST_BACKOFF_S
            self._restart_at_s = now_s + self._backoff_s
            self.get_logger().error(
                f'the worker failed; it is started again in {self._backoff_s:g} s')
        elif now_s >= self._restart_at_s:
            self._start_worker()

    def _publish_event(self, event):
        """Publish on the worker's thread what the session reports."""
        if isinstance(event, TokenEvent):
            self._publish(self._token_publisher, String(data=event.text))
        elif isinstance(event, StateEvent):
            is_silent = event.state is SessionState.SILENT
            self._publish(self._silence_publisher, Bool(data=is_silent))
        elif isinstance(event, NarrationEvent) and event.text:
            self._publish(self._narration_publisher, String(data=event.text.strip()))
        self._publish(self._event_publisher, String(data=event_json(
            event, next(self._event_numbers), time.monotonic_ns())))
        self._overlay.follow(event)

    def _publish(self, publisher, message):
        try:
            publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle):
            # The process was told to end while the worker was in a step.
            if self.context.ok():
                raise


class _RosLog(logging.Handler):
    """Takes what the other packages log by Python's logging to the node's logger."""

    def __init__(self, logger):
        super().__init__()
        self._logger = logger

    def emit(self, record):
        try:
            # rclpy refuses a line that logs with one severity now and another then.
            if record.levelno >= logging.ERROR:
                self._logger.error(record.getMessage())
            else:
                self._logger.info(record.getMessage())
        except Exception:
            self.handleError(record)


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(Narrator, args)


if __name__ == '__main__':
    main()
