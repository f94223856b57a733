"""
The narrator: a lifecycle node that says what a camera sees while it happens.

Images and prompts come in, pieces of text, the silence state, narrations and events go out. The
model runs on the worker's thread, so that the executor stays free. Knows nothing of tokens or
weights. Run by `make demo` and the launch files; drives everything in moss_ros/stream.
"""

from collections import Counter
from dataclasses import replace
import gc
import itertools
import logging
import time
from typing import NoReturn

from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.diagnostics import Diagnostics
from moss_ros.nodes.image_input import ImageInput, RESTART_NS
from moss_ros.nodes.loading import live_options, make_engine
from moss_ros.nodes.messages import event_json
from moss_ros.nodes.overlay_publisher import OverlayPublisher
from moss_ros.nodes.parameters import (
    declare_settings, NarratorSettings, read_settings, rows,
)
from moss_ros.nodes.prompting import Prompter
from moss_ros.nodes.ros_log import RosLogHandler
from moss_ros.nodes.running import run_node
from moss_ros.nodes.services import StreamServices
from moss_ros.nodes.supervision import Supervisor
from moss_ros.remote import RemoteSession
from moss_ros.stream import Mailbox, NarrationEvent, SessionState, StateEvent, TokenEvent
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockChange, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
import torch

SUPERVISION_PERIOD_S = 0.2
STOP_TIMEOUT_S = 2.0
OVERLAY_TIMEOUT_S = 0.3


class Narrator(LifecycleNode):
    """
    Unconfigured it holds nothing; inactive it holds the weights; active it watches and speaks.

    Callbacks run on the executor's thread and never wait for the model. Events come on the
    worker's thread and are published from there: rclpy's publishers may be used by any thread.
    """

    def __init__(self, make_engine=make_engine, **node_options):
        """
        Raise what rclpy raises for parameters that are not allowed.

        make_engine: returns a session and its worker for NarratorSettings, as that of loading.
        """
        super().__init__('narrator', **node_options)
        self._make_engine = make_engine
        declare_settings(self, NarratorSettings)
        self.add_on_set_parameters_callback(self._refuse_change)
        self.add_post_set_parameters_callback(self._apply_change)
        self._log_handler = RosLogHandler(self.get_logger())
        # Timers on steady time: with use_sim_time, a node's own clock may stand still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._session = None
        self._worker = None
        self._channel = None
        self._overlay = None
        self._converter = None
        self.image_input = ImageInput(self, self._on_frame, self._restart_after_stamps)
        self._managed_publishers = []
        self._prompt_subscription = None
        self._event_numbers = itertools.count()
        self._were_stamps_first = False
        self._prompter = Prompter()
        self._diagnostics = Diagnostics(self, self.image_input)
        StreamServices(
            self, interrupt=lambda: self._require_channel().request_interrupt(),
            reset=self._begin_anew,
            pause=lambda is_paused: self._require_channel().request_pause(is_paused))
        self._autostart_timer = None
        if self.get_parameter('autostart').value:
            self._autostart_timer = self.create_timer(
                0.0, self._start_by_itself, clock=self._steady_clock)

    @property
    def num_bad_by_kind(self) -> Counter:
        """Images and stamps that could not be used, counted by kind since the node was made."""
        return Counter(self.image_input.num_bad_by_kind)

    @property
    def lifecycle_state(self) -> str:
        """Name of the state of the lifecycle, such as 'active'."""
        return self._state_machine.current_state[1]

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
            self._session, self._worker = self._make_engine(settings)
            self._create_publishers()
        # rclpy would turn any exception into a failure without a word.
        except Exception as error:
            self._diagnostics.trouble = (
                f'cannot be configured: {error}; mend it, and request configure again')
            self.get_logger().error(self._diagnostics.trouble)
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.trouble = ''
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
        # What was changed while it was inactive counts from now on.
        options = live_options(self._session, settings)
        if options is not None:
            self._session.set_options(options)
        self._mailbox = Mailbox(settings.mailbox_size)
        # As many may wait again while the model takes a full mailbox in.
        self._overlay = OverlayPublisher(
            self, self._overlay_publisher, self._compressed_overlay_publisher,
            2 * settings.mailbox_size)
        self._channel = self._worker.open_channel(
            self._session, self._mailbox, self._publish_event, settings.max_tokens_per_second)
        self._prompter.standing = settings.prompt
        self._prompter.open(self._mailbox)
        self._worker.start()
        self._supervisor = Supervisor(
            self._channel, self._prepare_restart, self.get_logger())
        self._diagnostics.begin(self._session, self._channel, self._mailbox, self._supervisor)
        self._supervision_timer = self.create_timer(
            SUPERVISION_PERIOD_S, self._supervisor.look, clock=self._steady_clock)
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
        self._prompter.close()
        self._diagnostics.end()
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

    # Parameters

    def _refuse_change(self, parameters):
        """Say why the session could not take the settings that a change would make, if so."""
        changes = {item.name: item.value for item in parameters
                   if item.name in rows(NarratorSettings)}
        if self._session is None or not changes:
            return SetParametersResult(successful=True)
        try:
            settings = replace(read_settings(self, NarratorSettings), **changes)
            options = live_options(self._session, settings)
            if options is None and self._channel is not None \
                    and 'max_tokens_per_second' in changes:
                raise ValueError("the backend 'remote_code' takes max_tokens_per_second when it "
                                 'is activated: deactivate it first')
            if options is not None and 'prompt' in changes:
                num_too_many = self._session.context.num_tokens_too_many(settings.prompt)
                if num_too_many:
                    raise ValueError(
                        f'prompt is {num_too_many} tokens too long for a context of '
                        f'{options.max_context_tokens} tokens; ask it in fewer words')
        except Exception as error:  # of whatever kind, it must refuse and not end the node
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_change(self, parameters):
        """Have the running stream follow what was set; inactive, the next activation does."""
        names = {item.name for item in parameters}
        if self._channel is None or names.isdisjoint(rows(NarratorSettings)):
            return
        settings = read_settings(self, NarratorSettings)
        options = live_options(self._session, settings)
        if options is not None:
            self._channel.set_options(options, settings.max_tokens_per_second)
        if 'frame_rate' in names:
            self.image_input.set_frame_rate(
                settings.frame_rate or (options or self._session.options).frame_rate_fps)
        if 'prompt' in names:
            self._prompter.standing = settings.prompt
            self._ask_now(self._prompter.ask_standing)

    # Inputs

    def _on_frame(self, frame, frame_id):
        if self._channel.is_paused:
            return
        self._overlay.add_frame(frame, frame_id)
        self._mailbox.submit_frame(frame)

    def _on_prompt(self, message):
        if not message.data.strip():
            self.get_logger().warning('an empty prompt is ignored')
            return
        if self.get_parameter('prompt_mode').value == 'replace':
            # The parameter is the standing prompt, so that everybody can look it up.
            standing = Parameter('prompt', Parameter.Type.STRING, message.data)
            if self.set_parameters([standing])[0].successful:
                return
        # One that is too long is refused by an event, with its id.
        self._ask_now(lambda: self._prompter.ask(message.data))

    def _ask_now(self, ask):
        """Ask, and show the newest picture behind the question: what comes next answers it."""
        ask()
        self.image_input.show_newest()

    # Beginning anew

    def _require_channel(self):
        if self._channel is None:
            raise RuntimeError(
                f'the narrator is {self.lifecycle_state}: activate it first')
        return self._channel

    def _begin_anew(self):
        """Forget the stream, ask the standing prompt again; return the future of the reset."""
        future = self._require_channel().request_reset()
        # Behind the reset, which comes first, and before any frame.
        self._prompter.ask_standing()
        return future

    def _restart_after_jump(self, jump):
        were_stamps_first, self._were_stamps_first = self._were_stamps_first, False
        if jump.clock_change != ClockChange.ROS_TIME_NO_CHANGE:
            self.image_input.forget_stamps()
            self._restart_stream('use_sim_time was changed')
            return
        now_ns = self.get_clock().now().nanoseconds
        newest_ns = self.image_input.newest_stamp_ns
        if were_stamps_first and newest_ns is not None and newest_ns < now_ns + RESTART_NS:
            return  # the images, set back with the clock, came before it
        self.image_input.forget_stamps(now_ns)
        self._restart_stream('the clock was set back')

    def _restart_after_stamps(self, reason):
        self._were_stamps_first = True
        self._restart_stream(reason)

    def _restart_stream(self, reason):
        self.get_logger().warning(f'{reason}: the stream begins anew')
        try:
            self._begin_anew()
        except RuntimeError:
            pass  # it has failed, and begins anew when it is started again

    def _prepare_restart(self):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._prompter.ask_standing()

    # Outputs

    def _publish_event(self, event):
        """Publish on the worker's thread what the session reports."""
        now_ns = time.monotonic_ns()
        if isinstance(event, TokenEvent):
            self._publish(self._token_publisher, String(data=event.text))
        elif isinstance(event, StateEvent):
            is_silent = event.state is SessionState.SILENT
            self._publish(self._silence_publisher, Bool(data=is_silent))
        elif isinstance(event, NarrationEvent) and event.text:
            self._publish(self._narration_publisher, String(data=event.text.strip()))
        self._publish(self._event_publisher, String(data=event_json(
            event, next(self._event_numbers), now_ns)))
        self._diagnostics.observe(event, now_ns)
        self._overlay.follow(event)

    def _publish(self, publisher, message):
        try:
            publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle):
            # The process was told to end while the worker was in a step.
            if self.context.ok():
                raise


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(Narrator, args)


if __name__ == '__main__':
    main()
