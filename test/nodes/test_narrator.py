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

"""The narrator in this process: transitions, inputs that are wrong, a model that fails."""

import gc
import threading
import weakref

from lifecycle_msgs.msg import State, Transition
from moss_ros.stream import StreamSession
import psutil
from rclpy.parameter import Parameter
from stamps import PERIOD_NS, START_NS

CYCLE = (
    (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
    (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
    (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
    (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
    (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
    (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
)
WORKER_NAME = 'moss-engine-worker'


def num_workers():
    return sum(thread.name == WORKER_NAME for thread in threading.enumerate())


def resident_bytes():
    gc.collect()
    return psutil.Process().memory_info().rss


def test_it_starts_by_itself_and_narrates(robot):
    robot = robot()
    robot.wait_active()
    assert robot.state == State.PRIMARY_STATE_ACTIVE
    assert robot.listener.silence == [True]
    end = robot.show_and_hear()
    # Random weights never choose silence: the limit ends what they say.
    assert end['reason'] == 'limit'
    assert end['first_stamp_ns'] == START_NS
    assert end['latency_ms'] > 0
    robot.host.until(lambda: len(robot.listener.silence) == 3, what='silence after speaking')
    assert robot.listener.silence == [True, False, True]
    robot.host.until(lambda: robot.listener.narration, what='~/narration')
    assert robot.listener.narration == [end['text'].strip()]
    robot.host.until(
        lambda: ''.join(robot.listener.tokens) == end['text'], what='all of ~/tokens')
    numbers = [record['seq'] for record in robot.listener.events]
    assert numbers == list(range(len(numbers)))


def test_every_transition_twice_leaves_nothing_behind(robot):
    robot = robot(autostart=False)
    assert robot.state == State.PRIMARY_STATE_UNCONFIGURED
    sizes, num_bytes = [], []
    for _ in range(2):
        for transition, state in CYCLE:
            assert robot.change(transition)
            assert robot.state == state
            assert num_workers() == (state == State.PRIMARY_STATE_ACTIVE)
        topics = [name for name, _ in robot.narrator.get_publisher_names_and_types_by_node(
            'narrator', '/') if name.startswith('/narrator/')]
        assert topics == ['/narrator/transition_event']
        sizes.append((len(list(robot.narrator.publishers)), len(list(robot.narrator.timers)),
                      len(list(robot.narrator.subscriptions)), threading.active_count()))
        num_bytes.append(resident_bytes())
    assert sizes[0] == sizes[1]
    assert num_bytes[1] < 1.05 * num_bytes[0]


def test_cleanup_frees_the_weights(robot):
    robot = robot(autostart=False)
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    session = weakref.ref(robot.narrator.session)
    assert session() is not None
    assert robot.change(Transition.TRANSITION_CLEANUP)
    gc.collect()
    assert session() is None


def test_inactive_it_says_nothing_and_active_again_it_begins_anew(robot):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    robot.host.until(
        lambda: not robot.images.get_subscription_count(), what='the camera to be alone')
    robot.show()
    assert robot.state == State.PRIMARY_STATE_INACTIVE
    num_tokens = len(robot.listener.of_type('token'))
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.host.until(lambda: robot.images.get_subscription_count(), what='active again')
    robot.host.until(lambda: robot.listener.events[-1]['stamp_ns'] is None, what='a new stream')
    assert len(robot.listener.of_type('token')) == num_tokens
    assert robot.show_and_hear()['narration_id'] == 1


def test_deactivated_in_mid_sentence_it_reports_what_was_said(robot):
    robot = robot(max_tokens_per_second=2.0)
    robot.wait_active()
    robot.show()
    robot.host.until(lambda: robot.listener.of_type('token'), what='the first word')
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    end = robot.host.until(lambda: robot.listener.of_type('narration'), what='its end')[0]
    assert end['reason'] == 'stopped'
    assert end['text'].startswith(robot.listener.of_type('token')[0]['text'])
    robot.host.until(lambda: robot.listener.silence[-1] is True, what='silence')


def test_a_missing_checkpoint_can_be_mended(robot, tmp_path, babbling_checkpoint):
    folder = tmp_path / 'checkpoint'
    robot = robot(checkpoint=folder, autostart=False)
    assert not robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.state == State.PRIMARY_STATE_UNCONFIGURED
    folder.symlink_to(babbling_checkpoint)
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.wait_active()
    robot.show_and_hear()


def test_bad_images_are_counted_and_the_next_good_one_is_narrated(robot):
    robot = robot()
    robot.wait_active()
    for count in (1, 2):
        robot.show(encoding='rgb9')
        robot.wait_bad('unknown_encoding', count)
        robot.show(data=bytes(5))
        robot.wait_bad('truncated', count)
    assert robot.listener.events == robot.listener.of_type('state')
    robot.show_and_hear()
    assert robot.listener.of_type('error') == []


def test_late_stamps_are_counted_and_do_not_begin_the_stream_anew(robot):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()
    for count, late_ns in enumerate((0, 1, 1_900_000_000), start=1):
        robot.show(stamp_ns=START_NS - late_ns)
        robot.wait_bad('late', count)
    assert robot.show_and_hear()['narration_id'] == 2


def test_stamps_that_fall_far_back_begin_the_stream_anew(robot):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()
    robot.next_ns = START_NS - 60 * PERIOD_NS
    robot.show()
    robot.host.until(lambda: len(robot.listener.of_type('state')) >= 4, what='a new beginning')
    assert robot.show_and_hear()['stamp_ns'] < START_NS
    assert robot.narrator.num_bad_by_kind == {}


def test_an_image_without_a_stamp_gets_the_nodes_time(robot):
    robot = robot()
    robot.wait_active()
    before_ns = robot.narrator.get_clock().now().nanoseconds
    robot.show(stamp_ns=0)
    end = robot.host.until(lambda: robot.listener.of_type('narration'), what='a narration')[0]
    assert before_ns <= end['first_stamp_ns'] <= robot.narrator.get_clock().now().nanoseconds


def test_without_stamp_and_clock_an_image_is_counted(robot):
    robot = robot(use_sim_time=True)
    robot.wait_active()
    robot.show(stamp_ns=0)
    robot.wait_bad('no_time', 1)


def test_frame_rate_changes_while_it_runs(robot):
    robot = robot()
    robot.wait_active()
    robot.show_and_hear()
    result = robot.narrator.set_parameters([Parameter('frame_rate', value=0.5)])[0]
    assert result.successful
    stamps = [robot.show_and_hear()['stamp_ns']]
    # At one frame in two seconds the fourth half second is the next one.
    for _ in range(3):
        robot.show()
    stamps.append(robot.show_and_hear()['stamp_ns'])
    assert stamps[1] - stamps[0] == 4 * PERIOD_NS
    assert {record['stamp_ns'] for record in robot.listener.of_type('token')} == {
        START_NS, *stamps}


def test_a_prompt_is_answered_and_an_empty_one_ignored(robot):
    robot = robot(prompt='Is anything moving?')
    robot.wait_active()
    robot.show()
    ends = robot.host.until(lambda: robot.listener.of_type('narration'), what='an answer')
    assert ends[0]['prompt_id'] == 'prompt-1'
    robot.listener.ask('  ')
    robot.listener.ask('What do you see?')
    robot.host.until(
        lambda: len(robot.listener.of_type('prompt')) == 2, what='the second question')
    # Nothing newer has been seen: the next picture is what is answered.
    assert len(robot.listener.of_type('narration')) == 1
    assert robot.show_and_hear()['prompt_id'] == 'prompt-2'
    assert [(record['prompt_id'], record['text']) for record in robot.listener.of_type('prompt')
            ] == [('prompt-1', 'Is anything moving?'), ('prompt-2', 'What do you see?')]


def test_a_failing_model_is_reported_and_started_again(robot, monkeypatch):
    robot = robot()
    robot.wait_active()

    def fail(self):
        raise MemoryError('the model is out of memory')

    with monkeypatch.context() as patch:
        patch.setattr(StreamSession, 'step_shared', fail)
        robot.show()
        error = robot.host.until(lambda: robot.listener.of_type('error'), what='an error')[0]
    assert 'the model is out of memory' in error['text']
    num_states = len(robot.listener.of_type('state'))
    robot.host.until(
        lambda: len(robot.listener.of_type('state')) > num_states, what='a new start')
    robot.show_and_hear()
    assert len(robot.listener.of_type('error')) == 1
