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

"""Several cameras in one process: each is told of what it sees, and of no other's troubles."""

from array import array
import threading
import time

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from moss_ros.engines.shared_engine import SharedEngine
from moss_ros.nodes.activation import STOP_TIMEOUT_S
from moss_ros.nodes.demo_camera import DemoCamera
from moss_ros.nodes.multi_camera import MultiCamera
from moss_ros.nodes.narrator import Narrator
from moss_ros.records import read_event
from moss_ros.settings import NarratorSettings
from moss_ros.stream import Frame, Mailbox, NarrationEvent, SilenceEvent, WorkerState
from moss_ros.training.scenes import answer_question, question_by_text, Scene, SceneRenderer
import pytest
from rclpy.exceptions import InvalidParameterValueException
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from stamps import PERIOD_NS, START_NS
from std_msgs.msg import String

# Scenes of other things each.
SEEDS = (3, 5, 9)
NUM_FRAMES = 24
QUESTION = 'What do you see?'


class Ear:
    """Keeps what the narrator of one camera says, and shows it pictures."""

    def __init__(self, listener, camera):
        self.events = []
        self._next_ns = START_NS
        listener.create_subscription(
            String, f'/{camera}/narrator/events',
            lambda message: self.events.append(read_event(message.data)),
            QoSProfile(depth=1000))
        self.images = listener.create_publisher(Image, f'/{camera}/image', QoSProfile(depth=10))

    def of_type(self, kind):
        return [record for record in self.events if record['type'] == kind]

    def show(self):
        message = Image(height=48, width=64, step=192, encoding='rgb8',
                        data=array('B', bytes(48 * 192)))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._next_ns, 10 ** 9)
        self._next_ns += PERIOD_NS
        self.images.publish(message)


@pytest.fixture
def engine():
    return SharedEngine()


@pytest.fixture
def pair(host, listener, babbling_checkpoint, engine):
    """Return two narrators that share an engine, and the ears of both."""
    narrators = [host.add(Narrator(engine.make_engine, namespace=camera, parameter_overrides=[
        Parameter('checkpoint', value=str(babbling_checkpoint))])) for camera in ('a', 'b')]
    ears = [Ear(listener, camera) for camera in ('a', 'b')]
    host.until(lambda: all(
        ear.images.get_subscription_count() and ear.of_type('state') for ear in ears),
        what='two active narrators')
    yield narrators, ears
    # pytest keeps what a fixture gave for longer than the host keeps its nodes: with the last
    # reference goes the narrator, which the next test would still find in the graph.
    narrators.clear()


def wait_until(is_true):
    end_s = time.monotonic() + 60.0
    while not is_true():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


def hear(host, ear):
    """Show a picture and wait for a narration after it."""
    num_before = len(ear.of_type('narration'))
    ear.show()
    host.until(lambda: len(ear.of_type('narration')) > num_before, what='a narration')


def frames_of(seed):
    """Return what a camera on a scene shows in NUM_FRAMES / 2 seconds."""
    scene = Scene(seed)
    renderer = SceneRenderer(scene, 160, 120)
    return [Frame(renderer.render(index / 2), (index + 1) * PERIOD_NS)
            for index in range(NUM_FRAMES)]


def narrations(events):
    return [(event.first_stamp_ns, event.text) for event in events
            if isinstance(event, NarrationEvent)]


def test_three_streams_through_one_worker_are_told_as_each_alone(trained_checkpoint):
    settings = NarratorSettings(checkpoint=str(trained_checkpoint))
    engine = SharedEngine()
    streams = []
    for seed in SEEDS:
        session, worker = engine.make_engine(settings)
        heard, mailbox = [], Mailbox(4)
        worker.open_channel(session, mailbox, heard.append, 0.0)
        worker.start()
        streams.append((frames_of(seed), mailbox, heard, worker))
    for index in range(NUM_FRAMES):
        for frames, mailbox, _, _ in streams:
            mailbox.submit_frame(frames[index])
        for frames, _, heard, _ in streams:
            wait_until(lambda: any(
                isinstance(event, SilenceEvent) and event.stamp_ns == frames[index].stamp_ns
                for event in heard))
    for frames, _, heard, worker in streams:
        assert worker.close(2.0)
        session, _ = engine.make_engine(settings)
        alone = []
        for frame in frames:
            session.add_frame(frame)
            while session.has_work:
                alone += session.step()
        assert len(narrations(alone)) >= 2
        assert narrations(heard) == narrations(alone)


def test_each_answer_belongs_to_its_camera(host, listener, start_process, trained_checkpoint):
    process = start_process(
        'multi_camera', '-p', 'cameras:=front,robot/left,rear',
        '-p', f'checkpoint:={trained_checkpoint}', '-r', 'image:=image_raw',
        # As launch does it: a rule for all nodes of the process.
        '-r', '__node:=cameras')
    cameras = dict(zip(('front', 'robot/left', 'rear'), SEEDS))
    ears = {camera: Ear(listener, camera) for camera in cameras}
    for camera, seed in cameras.items():
        host.add(DemoCamera(namespace=camera, parameter_overrides=[
            Parameter('seed', value=seed), Parameter('scene', value='static'),
            Parameter('rate', value=4.0)]))
    host.until(lambda: all(len(ear.of_type('silence')) >= 4 for ear in ears.values()),
               what='4 silent frames of each')
    for camera in cameras:
        prompts = listener.create_publisher(String, f'/{camera}/prompt', QoSProfile(depth=1))
        host.until(prompts.get_subscription_count, what='its prompts')
        prompts.publish(String(data=QUESTION))
    host.until(lambda: all(ear.of_type('narration') for ear in ears.values()), what='answers')
    for camera, seed in cameras.items():
        truth = answer_question(
            question_by_text(QUESTION), Scene(seed, static=True).objects_at(0.0))
        assert ears[camera].of_type('narration')[0]['text'].strip() == truth
    process.end()
    assert process.popen.returncode == 0, process.output
    assert 'Traceback' not in process.output


def test_weights_and_worker_are_shared(pair):
    narrators, _ = pair
    first, second = (narrator.session for narrator in narrators)
    assert first is not second
    assert first.model is second.model
    names = [thread.name for thread in threading.enumerate()]
    assert names.count('moss-engine-worker') == 1


def test_a_stream_that_fails_and_images_that_are_bad_leave_the_other_alone(
        host, pair, monkeypatch):
    narrators, ears = pair
    for ear in ears:
        hear(host, ear)

    def fail():
        raise RuntimeError('broken')

    with monkeypatch.context() as patch:
        patch.setattr(narrators[0].session, 'step_shared', fail)
        ears[0].show()
        host.until(lambda: ears[0].of_type('error'), what='an error')
        assert narrators[0].channel.state is WorkerState.FAILED
        hear(host, ears[1])
    ears[0].images.publish(Image(height=3, width=5, encoding='rgb9'))
    host.until(lambda: narrators[0].channel.state is WorkerState.RUNNING, what='a new start')
    hear(host, ears[0])
    hear(host, ears[1])
    assert not ears[1].of_type('error')
    # The one went on with what it knew, the other began anew.
    assert narrators[1].session.context.num_frames == 3
    assert narrators[0].session.context.num_frames == 1


def test_one_that_is_deactivated_leaves_the_other_alone(host, listener, pair):
    narrators, ears = pair
    client = listener.create_client(ChangeState, '/a/narrator/change_state')
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        assert host.call(
            client, ChangeState.Request(transition=Transition(id=transition))).success
        hear(host, ears[1])
    host.until(ears[0].images.get_subscription_count, what='its subscription')
    hear(host, ears[0])
    for narrator in narrators:
        assert narrator.worker.close(2.0)
    assert 'moss-engine-worker' not in [thread.name for thread in threading.enumerate()]


def test_all_cameras_of_a_model_that_hangs_end_in_the_time_of_one(
        host, pair, engine, monkeypatch):
    narrators, ears = pair
    is_hanging, is_free = threading.Event(), threading.Event()

    def hang():
        is_hanging.set()
        is_free.wait()
        yield from ()

    monkeypatch.setattr(narrators[0].session, 'step_shared', hang)
    ears[0].show()
    host.until(is_hanging.is_set, what='a step that hangs')
    begin_s = time.monotonic()
    try:
        engine.close(STOP_TIMEOUT_S)
        for narrator in narrators:
            narrator.close()
        assert time.monotonic() - begin_s < 2 * STOP_TIMEOUT_S
    finally:
        is_free.set()
    wait_until(lambda: 'moss-engine-worker' not in [
        thread.name for thread in threading.enumerate()])


def test_a_camera_that_is_named_twice_is_refused(ros):
    with pytest.raises(InvalidParameterValueException, match='twice'):
        MultiCamera(parameter_overrides=[Parameter('cameras', value='front,front')])
