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

"""What the node tests share: ROS, a listener, processes, checkpoints."""

from array import array
import gc
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from input_rig import Rig
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.nodes.narrator import Narrator
from moss_ros.records import read_event
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from stamps import PERIOD_NS, START_NS
from std_msgs.msg import Bool, String

REPOSITORY = Path(__file__).resolve().parents[2]


class Host:
    """Spins nodes of this process in the test's thread, until something is true."""

    def __init__(self):
        self._executor = SingleThreadedExecutor()
        self._nodes = []

    def add(self, node):
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def until(self, is_true, timeout_s: float = 60.0, what: str = ''):
        """Spin until is_true() gives something true, and return that; fail after timeout_s."""
        end_s = time.monotonic() + timeout_s
        while not (result := is_true()):
            if time.monotonic() > end_s:
                pytest.fail(f'not within {timeout_s:g} s: {what or is_true}')
            self._executor.spin_once(timeout_sec=0.05)
        return result

    def call(self, client, request, timeout_s: float = 60.0):
        """Call a service and return its response."""
        self.until(client.service_is_ready, timeout_s, f'service {client.srv_name}')
        future = client.call_async(request)
        self.until(future.done, timeout_s, f'response of {client.srv_name}')
        return future.result()

    def client_of_process(self, node, service_type, service: str, timeout_s: float = 120.0):
        """
        Return a client of a service of a lifecycle node in another process that can answer it.

        A client is ready as soon as it has found the service. A server that has not found the
        client yet drops its answer after 0.1 s, which a busy machine needs now and then. What a
        participant has is announced in order: if the question after its state is answered, whose
        client was made later, the server knows the first client too.
        """
        client = node.create_client(service_type, service)
        get_state = node.create_client(GetState, f'{service.rpartition("/")[0]}/get_state')
        self.until(lambda: client.service_is_ready() and get_state.service_is_ready(),
                   timeout_s, f'service {service}')
        futures, next_s = [], 0.0

        def is_answered():
            nonlocal next_s
            if time.monotonic() > next_s:
                futures.append(get_state.call_async(GetState.Request()))
                next_s = time.monotonic() + 1.0
            return any(future.done() for future in futures)

        self.until(is_answered, timeout_s, f'an answer next to {service}')
        node.destroy_client(get_state)
        return client

    def close(self):
        while self._nodes:
            self._close(self._nodes.pop())
        self._executor.shutdown()
        # The services of a lifecycle node last until its last reference is gone: the next test
        # would find them, and wait for an answer in vain.
        gc.collect()

    def _close(self, node):
        if hasattr(node, 'close'):
            node.close()
        self._executor.remove_node(node)
        node.destroy_node()


class Listener(Node):
    """Keeps everything that a narrator named 'narrator' publishes."""

    def __init__(self):
        super().__init__('listener')
        self.events, self.tokens, self.silence, self.narration = [], [], [], []
        self.prompts = self.create_publisher(String, 'prompt', QoSProfile(depth=10))
        in_order = QoSProfile(depth=1000)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for message_type, topic, kept, qos in (
                (String, 'tokens', self.tokens, in_order),
                (Bool, 'silence', self.silence, latched),
                (String, 'narration', self.narration, in_order)):
            self.create_subscription(
                message_type, f'narrator/{topic}',
                lambda message, kept=kept: kept.append(message.data), qos)
        self.create_subscription(
            String, 'narrator/events',
            lambda message: self.events.append(read_event(message.data)), in_order)

    def of_type(self, kind: str) -> list[dict]:
        return [record for record in self.events if record['type'] == kind]

    def ask(self, text: str) -> None:
        self.prompts.publish(String(data=text))


class Robot:
    """A narrator, a listener and a camera that shows a frame when it is told to."""

    def __init__(self, host, listener, checkpoint, **parameters):
        self.host, self.listener = host, listener
        # A picture that is shown once must arrive, on a busy machine too.
        defaults = {'checkpoint': str(checkpoint), 'image_reliability': 'reliable'}
        self.narrator = host.add(Narrator(parameter_overrides=[
            Parameter(name, value=value)
            for name, value in {**defaults, **parameters}.items()]))
        self.images = listener.create_publisher(Image, 'image', QoSProfile(depth=10))
        self._change_state = listener.create_client(ChangeState, 'narrator/change_state')
        self._get_state = listener.create_client(GetState, 'narrator/get_state')
        self.next_ns = START_NS

    @property
    def state(self):
        return self.host.call(self._get_state, GetState.Request()).current_state.id

    def change(self, transition):
        """Request a transition; return whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.host.call(self._change_state, request).success

    def wait_active(self):
        """Wait until it watches and the camera and the prompts would reach it."""
        self.host.until(
            lambda: self.images.get_subscription_count()
            and self.listener.prompts.get_subscription_count()
            and self.listener.count_publishers('narrator/events'), what='active')
        self.host.until(lambda: self.listener.silence, what='the first state')

    def show(self, stamp_ns=None, encoding='rgb8', data=bytes(48 * 64 * 3)):
        """Publish one picture, by default half a second after the one before."""
        if stamp_ns is None:
            stamp_ns = self.next_ns
            self.next_ns += PERIOD_NS
        message = Image(height=48, width=64, step=192, encoding=encoding, data=array('B', data))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
        self.images.publish(message)

    def show_and_hear(self):
        """Publish one good picture, and wait until a narration that follows it has ended."""
        stamp_ns = self.next_ns
        self.show()
        return self.host.until(
            lambda: [record for record in self.listener.of_type('narration')
                     if record['stamp_ns'] == stamp_ns], what='a narration of the picture')[0]

    def wait_bad(self, kind, count):
        self.host.until(
            lambda: self.narrator.num_bad_by_kind[kind] == count, what=f'{count} {kind} images')


class Process:
    """A node in a process of its own, its output in a file."""

    def __init__(self, module: str, output: Path, ros_arguments=(), **options):
        self._output = output
        with output.open('w') as file:
            self.popen = subprocess.Popen(
                [sys.executable, '-m', module,
                 *(['--ros-args', *ros_arguments] if ros_arguments else [])],
                cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT, text=True, **options)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def end(self, number=signal.SIGINT, timeout_s: float = 2.0) -> float:
        """Send a signal, and return the seconds it took to end; fail after timeout_s."""
        start_s = time.monotonic()
        self.popen.send_signal(number)
        try:
            self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f'still alive {timeout_s:g} s after {number!r}:\n{self.output}')
        return time.monotonic() - start_s

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


@pytest.fixture
def ros():
    """Initialise rclpy for one test."""
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture
def host(ros):
    """Return a Host, closed after the test."""
    host = Host()
    yield host
    host.close()


@pytest.fixture
def listener(host):
    """Return a Listener that the host spins."""
    return host.add(Listener())


@pytest.fixture
def rig(host):
    """Return a function that makes a Rig; its input is stopped after the test."""
    rigs = []

    def make(*ros_arguments, **options):
        rigs.append(Rig(host, *ros_arguments, **options))
        return rigs[-1]

    yield make
    for made in rigs:
        made.input.stop()


@pytest.fixture
def start_process(tmp_path):
    """Return a function that starts a node's process; all are ended after the test."""
    processes = []

    def start(module, *ros_arguments, **options):
        output = tmp_path / f'{len(processes)}_{module}.log'
        processes.append(
            Process(f'moss_ros.nodes.{module}', output, ros_arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        if process.popen.poll() is None:
            process.popen.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.popen.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def robot(host, listener, babbling_checkpoint):
    """Return a function that makes a Robot with parameters."""
    return lambda **parameters: Robot(
        host, listener, parameters.pop('checkpoint', babbling_checkpoint), **parameters)


@pytest.fixture(scope='session')
def trained_checkpoint():
    """Return the folder of the embedded model, or of one that is yet to take its place."""
    folder = Path(os.environ.get('MOSS_ROS_TEST_CHECKPOINT', DEMO_CHECKPOINT))
    assert (folder / 'model.safetensors').is_file(), f'no weights in {folder}: make train'
    return folder
