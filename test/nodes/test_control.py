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

"""An operator's hands on the narrator: services, live parameters, prompts, and time set back."""

from dataclasses import replace
import threading

from lifecycle_msgs.msg import Transition
from moss_ros.nodes import services
from moss_ros.stream import StreamSession
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from stamps import PERIOD_NS, START_NS
from std_srvs.srv import SetBool, Trigger

WAIT_S = 60.0


class Operator:
    """Calls the services of a robot's narrator and sets its parameters."""

    def __init__(self, robot):
        self._robot = robot
        self._clients = {
            name: robot.listener.create_client(kind, f'narrator/{name}')
            for name, kind in (('interrupt', Trigger), ('reset', Trigger), ('pause', SetBool))}

    def call(self, name, **request):
        client = self._clients[name]
        return self._robot.host.call(client, client.srv_type.Request(**request))

    def begin(self, name):
        """Call a service without waiting for its answer; return the future."""
        client = self._clients[name]
        self._robot.host.until(client.service_is_ready, what=name)
        return client.call_async(client.srv_type.Request())

    def set(self, name, value):
        return self._robot.narrator.set_parameters([Parameter(name, value=value)])[0]


@pytest.fixture
def operated(robot):
    """Return a function that makes a robot with parameters, and the operator of it."""
    def make(**parameters):
        made = robot(**parameters)
        return made, Operator(made)

    return make


def prompts_of(robot):
    return [record['text'] for record in robot.listener.of_type('prompt')]


def num_beginnings(robot):
    """How often a stream has begun, as far as it was heard."""
    return sum(record['stamp_ns'] is None for record in robot.listener.of_type('state'))


# Services

def test_an_interrupt_ends_the_sentence_and_it_goes_on_watching(operated):
    robot, operator = operated(max_tokens_per_second=2.0)
    robot.wait_active()
    robot.show()
    robot.host.until(lambda: robot.listener.of_type('token'), what='the first word')
    answer = operator.call('interrupt')
    assert answer.success, answer.message
    assert robot.narrator.session.state.value == 'silent'
    end = robot.host.until(lambda: robot.listener.of_type('narration'), what='its end')[0]
    assert end['reason'] == 'stopped'
    robot.show()
    robot.host.until(
        lambda: robot.listener.of_type('token')[-1]['stamp_ns'] == START_NS + PERIOD_NS,
        what='words about the next picture')


def test_a_reset_forgets_everything_and_asks_the_standing_prompt_again(operated):
    robot, operator = operated(prompt='Is anything moving?')
    robot.wait_active()
    robot.show_and_hear()
    robot.listener.ask('What do you see?')
    robot.host.until(lambda: len(prompts_of(robot)) == 2, what='the question')
    answer = operator.call('reset')
    assert answer.success, answer.message
    assert robot.narrator.session.context.num_frames == 0
    robot.show()
    robot.host.until(lambda: len(prompts_of(robot)) == 3, what='the standing prompt')
    assert prompts_of(robot)[-1] == 'Is anything moving?'
    robot.host.until(lambda: robot.listener.of_type('narration')[-1]['prompt_id'] == 'prompt-3',
                     what='its answer')
    assert num_beginnings(robot) == 2


def test_a_pause_keeps_what_was_seen_and_prompts_wait(operated):
    robot, operator = operated()
    robot.wait_active()
    robot.show_and_hear()
    assert operator.call('pause', data=True).success
    num_events = len(robot.listener.events)
    robot.listener.ask('What do you see?')
    images = robot.narrator.image_input
    num_received, num_used = images.num_received, images.num_used
    robot.show()
    robot.host.until(lambda: images.num_received > num_received
                     and robot.narrator.channel.mailbox.has_prompts, what='picture and prompt')
    assert len(robot.listener.events) == num_events
    assert images.num_used == num_used  # it was not shown to the model
    assert operator.call('pause', data=False).success
    robot.host.until(lambda: prompts_of(robot) == ['What do you see?'], what='the prompt')
    assert robot.narrator.session.context.num_frames == 1


def test_services_say_why_they_make_no_sense_now(operated, monkeypatch):
    robot, operator = operated(autostart=False)
    for state in ('unconfigured', 'inactive'):
        for name in ('interrupt', 'reset', 'pause'):
            answer = operator.call(name)
            assert not answer.success and state in answer.message
        assert state != 'unconfigured' or robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.wait_active()

    def fail(self):
        raise RuntimeError('broken')

    with monkeypatch.context() as patch:
        patch.setattr(StreamSession, 'step_shared', fail)
        robot.show()
        robot.host.until(lambda: robot.listener.of_type('error'), what='an error')
        answer = operator.call('reset')
        assert not answer.success and 'failed' in answer.message


def test_a_service_waits_for_the_step_and_the_executor_does_not(operated, monkeypatch):
    robot, operator = operated()
    robot.wait_active()
    is_open, is_entered = threading.Event(), threading.Event()
    step = StreamSession.step_shared

    def slow(self):
        is_entered.set()
        assert is_open.wait(WAIT_S)
        return step(self)

    monkeypatch.setattr(StreamSession, 'step_shared', slow)
    robot.show()
    robot.host.until(is_entered.is_set, what='the step')
    future = operator.begin('interrupt')
    client = robot.listener.create_client(GetParameters, 'narrator/get_parameters')
    robot.host.call(client, GetParameters.Request(names=['checkpoint']))
    assert not future.done()
    is_open.set()
    robot.host.until(future.done, what='the answer')
    assert future.result().success
    # One that takes too long is answered all the same.
    is_open.clear()
    is_entered.clear()
    monkeypatch.setattr(services, 'ANSWER_TIMEOUT_S', 0.2)
    robot.show()
    robot.host.until(is_entered.is_set, what='the step')
    answer = operator.call('reset')
    is_open.set()
    assert not answer.success and 'long step' in answer.message


def test_a_request_that_a_deactivation_overtakes_is_answered(operated, monkeypatch):
    robot, operator = operated()
    robot.wait_active()
    is_open, is_entered = threading.Event(), threading.Event()
    step = StreamSession.step_shared

    def slow(self):
        is_entered.set()
        assert is_open.wait(WAIT_S)
        return step(self)

    monkeypatch.setattr(StreamSession, 'step_shared', slow)
    robot.show()
    robot.host.until(is_entered.is_set, what='the step')
    future = operator.begin('interrupt')
    robot.host.until(lambda: robot.narrator.worker.has_requests, what='the request')
    timer = threading.Timer(0.2, is_open.set)
    timer.start()
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    robot.host.until(future.done, what='the answer')
    assert not future.result().success and 'ended' in future.result().message
    timer.join()


# Parameters

def test_sampling_changes_while_it_runs_or_is_refused_with_the_reason(operated):
    robot, operator = operated()
    robot.wait_active()
    assert robot.show_and_hear()['num_tokens'] > 3
    assert operator.set('max_tokens_between_frames', 3).successful
    assert robot.show_and_hear()['num_tokens'] == 3
    options = robot.narrator.session.options
    for name, value in (('sampling', 'random'), ('temperature', 0.5), ('top_k', 7),
                        ('top_p', 0.9), ('repetition_penalty', 1.5)):
        assert operator.set(name, value).successful
    robot.show_and_hear()
    assert robot.narrator.session.options == replace(options, sampling=replace(
        options.sampling, do_sample=True, temperature=0.5, top_k=7, top_p=0.9,
        repetition_penalty=1.5))
    for name, value, reason in (
            ('max_tokens_between_frames', 100000, 'max_context_tokens'),
            ('sampling', 'eager', 'checkpoint, greedy, random'),
            ('prompt', 'red ' * 5000, 'tokens too long'),
            ('temperature', 'hot', 'type'),
            ('seed', 4, 'read-only')):
        result = operator.set(name, value)
        assert not result.successful and reason in result.reason
    # 0 is the checkpoint's own again.
    assert operator.set('max_tokens_between_frames', 0).successful
    assert robot.show_and_hear()['num_tokens'] > 3


def test_what_is_changed_while_inactive_holds_at_the_next_activation(operated):
    robot, operator = operated(autostart=False)
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    assert operator.set('max_tokens_between_frames', 3).successful
    assert not operator.set('max_tokens_between_frames', 100000).successful
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.wait_active()
    assert robot.show_and_hear()['num_tokens'] == 3


def test_the_pace_changes_in_mid_sentence(operated):
    robot, operator = operated(max_tokens_per_second=0.01)
    robot.wait_active()
    robot.show()
    robot.host.until(lambda: robot.listener.of_type('token'), what='the first word')
    assert operator.set('max_tokens_per_second', 0.0).successful
    robot.host.until(lambda: robot.listener.of_type('narration'), what='the whole sentence')


@pytest.mark.parametrize('mode', ['follow', 'replace'])
def test_a_prompt_message_follows_the_standing_prompt_or_replaces_it(operated, mode):
    robot, operator = operated(prompt='Is anything moving?', prompt_mode=mode)
    robot.wait_active()
    robot.show()
    robot.host.until(lambda: len(prompts_of(robot)) == 1, what='the standing prompt')
    robot.listener.ask('What do you see?')
    robot.host.until(lambda: len(prompts_of(robot)) == 2, what='the message')
    standing = 'Is anything moving?' if mode == 'follow' else 'What do you see?'
    assert robot.narrator.get_parameter('prompt').value == standing
    assert operator.call('reset').success
    robot.show()
    robot.host.until(lambda: len(prompts_of(robot)) == 3, what='the standing prompt again')
    # One that is set is asked at once.
    assert operator.set('prompt', 'How many objects are there?').successful
    robot.host.until(lambda: len(prompts_of(robot)) == 4, what='the new one')
    assert prompts_of(robot) == ['Is anything moving?', 'What do you see?', standing,
                                 'How many objects are there?']
    # One that is too long for the model is refused with its id, and nothing stands for it.
    robot.listener.ask('red ' * 5000)
    robot.host.until(lambda: robot.listener.of_type('error'), what='its refusal')
    assert robot.listener.of_type('error')[0]['prompt_id'] == 'prompt-5'
    assert robot.narrator.get_parameter('prompt').value == 'How many objects are there?'


# Time

def test_a_clock_that_is_set_back_begins_the_stream_anew_once(robot):
    robot = robot(use_sim_time=True)
    clock = robot.listener.create_publisher(Clock, '/clock', QoSProfile(depth=10))
    robot.wait_active()
    robot.host.until(clock.get_subscription_count, what='the clock')

    def tell(time_ns):
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(time_ns, 10 ** 9)
        clock.publish(message)
        robot.host.until(
            lambda: robot.narrator.get_clock().now().nanoseconds == time_ns, what='the time')

    tell(START_NS)
    robot.show_and_hear()
    # The clock first, an image of before that was under way, then the images.
    tell(START_NS - 100 * PERIOD_NS)
    robot.show()
    robot.wait_bad('late', 1)
    robot.next_ns = START_NS - 100 * PERIOD_NS
    assert robot.show_and_hear()['narration_id'] == 1
    assert num_beginnings(robot) == 2
    # The images first.
    robot.next_ns = START_NS - 200 * PERIOD_NS
    assert robot.show_and_hear()['narration_id'] == 1
    tell(START_NS - 200 * PERIOD_NS)
    assert robot.show_and_hear()['narration_id'] == 2
    assert num_beginnings(robot) == 3


def test_a_gap_does_not_begin_the_stream_anew(robot):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()
    robot.next_ns += 3600 * 10 ** 9
    assert robot.show_and_hear()['narration_id'] == 2
    assert num_beginnings(robot) == 1


def test_time_set_back_while_the_stream_has_failed_is_no_trouble(robot, monkeypatch):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()

    def fail(self):
        raise RuntimeError('broken')

    with monkeypatch.context() as patch:
        patch.setattr(StreamSession, 'step_shared', fail)
        robot.show()
        robot.host.until(lambda: robot.listener.of_type('error'), what='an error')
    robot.next_ns = START_NS - 60 * PERIOD_NS
    robot.show()
    robot.host.until(lambda: num_beginnings(robot) == 2, what='a new beginning')
    robot.show()
    end = robot.host.until(lambda: [
        record for record in robot.listener.of_type('narration')
        if record['stamp_ns'] < START_NS], what='a narration')[0]
    assert end['narration_id'] == 1
