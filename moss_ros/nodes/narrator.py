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
The narrator: a lifecycle node that says what a camera sees while it happens.

Images and prompts come in; pieces of text, the silence state, narrations and events go out. The
model runs on the worker's thread, so that the executor stays free. Run by `make demo` and the
launch files; drives everything in moss_ros/stream.
"""

from collections import Counter
from dataclasses import replace
import itertools
import time
from typing import NoReturn

from moss_ros.engines.loading import make_engine, stream_change
from moss_ros.nodes.activation import Activation, free_memory, STOP_TIMEOUT_S
from moss_ros.nodes.autostart import Autostart
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.diagnostics import Diagnostics
from moss_ros.nodes.image_input import ImageInput
from moss_ros.nodes.node_main import run_node
from moss_ros.nodes.output_topics import Outputs
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.nodes.python_log import log_to
from moss_ros.nodes.rclpy_names import call_after_parameters_are_set
from moss_ros.nodes.services import StreamServices
from moss_ros.settings import NarratorSettings, rows
from moss_ros.stream import Channel, Session, Worker
from moss_ros.stream.mailbox import Prompter
from moss_ros.systemd import patience
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter

# The weights of a large model, downloaded first perhaps, are there after so long, or never.
LOADING_S = 3600.0


class Narrator(LifecycleNode):
    """
    Unconfigured it holds nothing; inactive it holds the weights; active it watches and speaks.

    Callbacks run on the executor's thread and never wait for the model. Events come on the
    worker's thread and are published from there: rclpy's publishers may be used by any thread.
    """

    def __init__(self, make_engine=make_engine, **node_options):
        """
        Raise what rclpy raises for parameters that are not allowed.

        make_engine: takes NarratorSettings, returns a session and its worker, as in loading.py.
        """
        super().__init__('narrator', **node_options)
        self._make_engine = make_engine
        declare_settings(self, NarratorSettings)
        self.add_on_set_parameters_callback(self._refuse_change)
        call_after_parameters_are_set(self, self._apply_change)
        self._session: Session | None = None
        self._worker: Worker | None = None
        self._converter: ImageConverter | None = None
        self._outputs: Outputs | None = None
        self._activation: Activation | None = None
        self.image_input = ImageInput(
            self, lambda frame, frame_id: self._activation.add_frame(frame, frame_id),
            lambda reason: self._activation.begin_anew_after_stamps(reason),
            lambda event: self._activation.tell_of_camera(event))
        self._event_numbers = itertools.count()
        self._prompter = Prompter()
        self._diagnostics = Diagnostics(self, self.image_input)
        StreamServices(
            self, interrupt=lambda: self._require_active().channel.request_interrupt(),
            reset=lambda: self._require_active().begin_anew(),
            pause=lambda is_paused: self._require_active().channel.request_pause(is_paused))
        if self.get_parameter('autostart').value:
            Autostart(self)
        # Last: a node that cannot be made is not closed.
        self._stop_logging = log_to(self)

    @property
    def num_bad_by_kind(self) -> Counter:
        """Images and stamps that could not be used, counted by kind since the node was made."""
        return Counter(self.image_input.num_bad_by_kind)

    @property
    def lifecycle_state(self) -> str:
        """Name of the state of the lifecycle, such as 'active'."""
        return self._state_machine.current_state[1]

    @property
    def session(self) -> Session | None:
        """Return the loaded session, None while it is unconfigured; to look at, not to drive."""
        return self._session

    @property
    def worker(self) -> Worker | None:
        """Return the worker of that session; to look at, not to drive."""
        return self._worker

    @property
    def channel(self) -> Channel | None:
        """Return the stream as it is served, None while the node is not active."""
        return None if self._activation is None else self._activation.channel

    @property
    def stuck_s(self) -> float:
        """Seconds for which the model has taken no step although something waits for it."""
        return self._diagnostics.stuck_s

    @property
    def health(self) -> tuple[bytes, str]:
        """How the model and its stream are, as on /diagnostics: the level, and the message."""
        return self._diagnostics.judge_model()

    def close(self) -> None:
        """Stop the threads, in any state; takes at most STOP_TIMEOUT_S + OVERLAY_TIMEOUT_S."""
        if self._session is not None:
            self._session.give_up()
        self._deactivate()
        if self._session is not None:
            self._session.close()
        self._stop_logging()

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
            with patience(LOADING_S):
                self._session, self._worker = self._make_engine(settings)
            self._outputs = Outputs(self, self._event_numbers)
        # rclpy would turn any exception into a failure and log nothing.
        except Exception as error:
            self._tell_trouble(f'cannot be configured: {error}; mend it, and request configure '
                               'again')
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.trouble = ''
        self.get_logger().info(
            f'{settings.checkpoint or "the embedded model"} loaded in '
            f'{time.monotonic() - start_s:.1f} s, '
            f'{settings.frame_rate or self._session.frame_rate_fps:g} frames/s')
        return super().on_configure(state)

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Enable the outputs, start the worker and subscribe; FAILURE says why in the log."""
        super().on_activate(state)
        try:
            self._activation = Activation(
                self, read_settings(self, NarratorSettings), self._session, self._worker,
                self._converter, self._outputs, self.image_input, self._prompter,
                self._diagnostics, self._on_prompt)
        except Exception as error:  # as in on_configure
            self._tell_trouble(f'cannot be activated: {error}; mend it, and request activate '
                               'again')
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.trouble = ''
        self.get_logger().info(f'active: watching {self.image_input.topic}')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker; the weights stay."""
        if not self._deactivate():
            self._tell_trouble(
                f'deactivated, but the worker is still in a step after {STOP_TIMEOUT_S} s: the '
                'weights are dropped; request configure again')
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the weights and the publishers."""
        self._release()
        self._diagnostics.trouble = ''
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self._deactivate()
        self._release()
        self._diagnostics.trouble = ''
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state) -> TransitionCallbackReturn:
        """Stop and free everything; SUCCESS: the node may be configured anew."""
        self._deactivate()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _tell_trouble(self, text):
        self._diagnostics.trouble = text
        self.get_logger().error(text)

    def _deactivate(self):
        """Undo on_activate; return whether the worker has ended."""
        activation, self._activation = self._activation, None
        return activation is None or activation.close()

    def _release(self):
        """Undo on_configure, as far as it came."""
        if self._outputs is not None:
            self._outputs.destroy()
        if self._session is not None:
            self._session.close()
        self._session = self._worker = self._converter = self._outputs = None
        free_memory()

    # Parameters

    def _refuse_change(self, parameters):
        """Refuse a change, with the reason, if the session could not take the new settings."""
        changes = {item.name: item.value for item in parameters
                   if item.name in rows(NarratorSettings)}
        if self._session is None or not changes:
            return SetParametersResult(successful=True)
        try:
            settings = replace(read_settings(self, NarratorSettings), **changes)
            # While the node is active, the channel also checks the pace.
            (self.channel or self._session).require_change(stream_change(settings))
            if 'prompt' in changes:
                self._session.require_prompt(settings.prompt)
        except Exception as error:  # any error must refuse the change, not end the node
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_change(self, parameters):
        """Apply what was set to the running stream; if inactive, the next activation does."""
        names = {item.name for item in parameters}
        if self._activation is not None and not names.isdisjoint(rows(NarratorSettings)):
            self._activation.change(read_settings(self, NarratorSettings), names)

    # Prompts

    def _on_prompt(self, message):
        if not message.data.strip():
            self.get_logger().warning('an empty prompt is ignored')
            return
        if self.get_parameter('prompt_mode').value == 'replace':
            # The parameter is the standing prompt, so that everybody can look it up.
            standing = Parameter('prompt', Parameter.Type.STRING, message.data)
            if self.set_parameters([standing])[0].successful:
                return
        # A prompt that is too long is refused later, by an error event with its id.
        self._activation.ask_now(lambda: self._prompter.ask(message.data))

    def _require_active(self):
        if self._activation is None:
            raise RuntimeError(
                f'the narrator is {self.lifecycle_state}: activate it first')
        return self._activation


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(Narrator, args)


if __name__ == '__main__':
    main()
