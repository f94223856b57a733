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

"""An activation that fails: why is told, nothing is left of it, and the next one works."""

import logging
import threading
import time

from black_camera import BlackCamera
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from moss_ros.engines.shared_engine import SharedEngine
from moss_ros.nodes import activation, diagnostics
from moss_ros.nodes.image_topic import InputState
from moss_ros.nodes.narrator import Narrator
from moss_ros.records import read_event
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from stamps import START_NS
from std_msgs.msg import String

WAIT_S = 30.0
REASON = 'the cause of all this'


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(diagnostics, 'PERIOD_S', 0.1)


@pytest.fixture
def model_status(host, listener):
    """Return a function that waits for a level and words of a narrator's model."""
    newest = {}

    def take(message):
        newest.update((status.name, status) for status in message.status)

    def wait(level, *words, name='narrator'):
        def is_told():
            status = newest.get(f'{name}: model')
            return status is not None and status.level == level and all(
                word in status.message for word in words)

        host.until(is_told, what=f'{level} {words}')

    listener.create_subscription(DiagnosticArray, '/diagnostics', take, QoSProfile(depth=10))
    return wait


@pytest.fixture
def logged(host, capfd):
    """Return a function that waits until all words were logged since the last call."""
    def wait(*words):
        texts = []
        host.until(lambda: texts.append(capfd.readouterr().err) or all(
            word in ''.join(texts) for word in words), what=f'{words} in the log')

    return wait


def parts_of(narrator):
    """Return what an activation makes, as numbers and names that can be compared."""
    return {
        'subscriptions': sorted(one.topic_name for one in narrator.subscriptions),
        'timers': len(list(narrator.timers)),
        'threads': sorted(
            thread.name for thread in threading.enumerate() if 'moss' in thread.name),
        'log handlers': len(logging.getLogger('moss_ros').handlers),
        'channel': narrator.channel,
        'images': narrator.image_input.state,
        'topic': narrator.image_input.topic,
    }


def of_session(narrator):
    return narrator.session, 'apply', lambda change: True


def of_channel(narrator):
    return narrator.worker, 'open_channel', lambda *arguments: True


def of_start(narrator):
    return narrator.worker, 'start', lambda: True


def of_supervision(narrator):
    return narrator, 'create_timer', lambda period_s, callback, **options: True


def of_images(narrator):
    return narrator, 'create_subscription', lambda kind, *arguments, **options: kind is Image


def of_watching(narrator):
    # The timer of the images, behind their subscription.
    return narrator, 'create_timer', lambda *arguments, **options: bool(narrator.image_input.topic)


def of_prompts(narrator):
    return narrator, 'create_subscription', lambda kind, *arguments, **options: kind is String


@pytest.mark.parametrize('part', [
    of_session, of_channel, of_start, of_supervision, of_images, of_watching, of_prompts])
@pytest.mark.parametrize('is_first', [True, False], ids=['first', 'later'])
def test_one_that_fails_says_why_and_leaves_nothing_behind(
        robot, model_status, logged, monkeypatch, part, is_first):
    robot = robot(autostart=False)
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    if not is_first:
        assert robot.change(Transition.TRANSITION_ACTIVATE)
        assert robot.change(Transition.TRANSITION_DEACTIVATE)
    before = parts_of(robot.narrator)
    assert before['images'] is InputState.STOPPED
    owner, name, is_due = part(robot.narrator)
    make = getattr(owner, name)

    def fail(*arguments, **options):
        if is_due(*arguments, **options):
            raise ValueError(REASON)
        return make(*arguments, **options)

    for _ in range(2):  # once more makes it no worse
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            assert not robot.change(Transition.TRANSITION_ACTIVATE)
        assert robot.state == State.PRIMARY_STATE_INACTIVE
        assert parts_of(robot.narrator) == before
        logged('cannot be activated', REASON, 'request activate again')
        model_status(DiagnosticStatus.ERROR, 'cannot be activated', REASON)
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    assert robot.state == State.PRIMARY_STATE_ACTIVE
    model_status(DiagnosticStatus.OK, 'narrating')
    robot.wait_active()
    assert robot.show_and_hear()['narration_id'] == 1
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    assert parts_of(robot.narrator) == before


def test_after_one_that_fails_it_can_be_cleaned_up(robot, model_status, monkeypatch):
    robot = robot(autostart=False)
    assert robot.change(Transition.TRANSITION_CONFIGURE)

    def fail():
        raise RuntimeError(REASON)

    monkeypatch.setattr(robot.narrator.worker, 'start', fail)
    assert not robot.change(Transition.TRANSITION_ACTIVATE)
    model_status(DiagnosticStatus.ERROR, REASON)
    assert robot.change(Transition.TRANSITION_CLEANUP)
    model_status(DiagnosticStatus.OK, 'unconfigured')
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert robot.change(transition)
    robot.wait_active()
    robot.show_and_hear()


class NarratedCamera:
    """A camera, its narrator that shares its engine, and what is needed to see both at work."""

    def __init__(self, host, listener, make_engine, name, checkpoint):
        self._host = host
        self.events = []
        self.narrator = host.add(Narrator(make_engine, namespace=name, parameter_overrides=[
            Parameter('checkpoint', value=str(checkpoint)), Parameter('autostart', value=False)]))
        self._camera = BlackCamera(host, listener, f'/{name}/image')
        listener.create_subscription(
            String, f'/{name}/narrator/events',
            lambda message: self.events.append(read_event(message.data)),
            QoSProfile(depth=1000))
        self._change_state = listener.create_client(
            ChangeState, f'/{name}/narrator/change_state')
        self._get_state = listener.create_client(GetState, f'/{name}/narrator/get_state')

    def change(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self._host.call(self._change_state, request).success

    @property
    def state(self):
        return self._host.call(self._get_state, GetState.Request()).current_state.id

    def show(self):
        self._camera.wait_subscribed()
        self._camera.send(START_NS)

    def narrations(self):
        return [record for record in self.events if record['type'] == 'narration']


@pytest.fixture
def hung_step(monkeypatch):
    """Return a function that has a session hang in its next steps, and two events."""
    is_entered, is_free = threading.Event(), threading.Event()

    def hang(session):
        def step_shared():
            is_entered.set()
            assert is_free.wait(WAIT_S)
            yield from ()
            return []

        monkeypatch.setattr(session, 'step_shared', step_shared)

    yield hang, is_entered, is_free
    is_free.set()


@pytest.fixture
def cameras(host, listener, babbling_checkpoint, monkeypatch):
    """Return two cameras that share an engine, configured."""
    monkeypatch.setattr(activation, 'STOP_TIMEOUT_S', 0.3)
    engine = SharedEngine()
    both = [NarratedCamera(host, listener, engine.make_engine, name, babbling_checkpoint)
            for name in 'ab']
    for camera in both:
        assert camera.change(Transition.TRANSITION_CONFIGURE)
    yield both
    both.clear()


def test_a_shared_worker_that_hangs_refuses_a_first_activation_until_it_has_ended(
        host, cameras, hung_step, model_status, logged):
    first, second = cameras
    hang, is_entered, is_free = hung_step
    hang(first.narrator.session)
    assert first.change(Transition.TRANSITION_ACTIVATE)
    host.until(is_entered.is_set, what='the step')
    first.change(Transition.TRANSITION_DEACTIVATE)
    assert first.state == State.PRIMARY_STATE_UNCONFIGURED
    logged('still in a step')
    model_status(DiagnosticStatus.ERROR, 'still in a step', 'request configure again',
                 name='a/narrator')
    before = parts_of(second.narrator)
    for _ in range(2):
        start_s = time.monotonic()
        assert not second.change(Transition.TRANSITION_ACTIVATE)
        assert time.monotonic() - start_s < 5.0
        assert second.state == State.PRIMARY_STATE_INACTIVE
        assert parts_of(second.narrator) == before
        logged('b.narrator', 'cannot be activated', 'last step', 'request activate again')
        model_status(DiagnosticStatus.ERROR, 'cannot be activated', 'last step', name='b/narrator')
    is_free.set()
    host.until(lambda: 'moss-engine-worker' not in [
        thread.name for thread in threading.enumerate()], what='the end of the step')
    assert second.change(Transition.TRANSITION_ACTIVATE)
    model_status(DiagnosticStatus.OK, 'narrating', name='b/narrator')
    second.show()
    host.until(second.narrations, what='a narration')
    assert second.change(Transition.TRANSITION_DEACTIVATE)
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert first.change(transition)
    model_status(DiagnosticStatus.OK, 'narrating', name='a/narrator')
    first.show()
    host.until(first.narrations, what='a narration')


def test_a_stream_that_hangs_while_another_is_active_is_activated_again_when_it_has_ended(
        host, cameras, hung_step, logged):
    first, second = cameras
    hang, is_entered, is_free = hung_step
    assert second.change(Transition.TRANSITION_ACTIVATE)
    hang(first.narrator.session)
    assert first.change(Transition.TRANSITION_ACTIVATE)
    host.until(is_entered.is_set, what='the step')
    first.change(Transition.TRANSITION_DEACTIVATE)
    logged('a.narrator', 'still in a step')
    assert first.state == State.PRIMARY_STATE_UNCONFIGURED
    is_free.set()
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert first.change(transition)
    for camera in (second, first):
        camera.show()
        host.until(camera.narrations, what='a narration')
