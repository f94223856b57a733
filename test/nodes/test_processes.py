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

"""Each node in a process of its own, over DDS: how it ends, answers and is wired."""

from array import array
import os
from pathlib import Path
import re
import signal
from statistics import median
import subprocess
import sys
import time

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from video_making import evenly, write_video

REPOSITORY = Path(__file__).resolve().parents[2]
PATH_BY_STATE = {
    'unconfigured': (),
    'inactive': (Transition.TRANSITION_CONFIGURE,),
    'active': (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    'finalized': (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,),
}
# What was freed is overwritten at once: whoever still uses it crashes, not only now and then.
HARSH_MEMORY = {'MALLOC_PERTURB_': '165', 'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=0'}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('state', PATH_BY_STATE)
def test_a_signal_ends_the_narrator_in_every_state(
        host, listener, start_process, babbling_checkpoint, state, number):
    process = start_process(
        'narrator', '-p', f'checkpoint:={babbling_checkpoint}', '-p', 'autostart:=false',
        '-p', 'max_tokens_per_second:=2.0', env={**os.environ, **HARSH_MEMORY})
    client = host.client_of_process(listener, ChangeState, 'narrator/change_state')
    for transition in PATH_BY_STATE[state]:
        assert host.call(
            client, ChangeState.Request(transition=Transition(id=transition))).success
    if state == 'active':
        images = listener.create_publisher(Image, 'image', QoSProfile(depth=1))
        host.until(images.get_subscription_count, what='the subscription')
        image = Image(height=48, width=64, step=192, encoding='rgb8')
        image.data = array('B', bytes(48 * 192))
        image.header.stamp.sec = 1
        # At 2 tokens a second it stays in mid-sentence for long. Best effort may lose a picture;
        # the same once more is late, and not used.
        host.until(lambda: images.publish(image) or listener.of_type('token'),
                   what='the first word')
    process.end(number, timeout_s=2.0)
    assert process.popen.returncode == 0, process.output
    assert 'Traceback' not in process.output
    # It took leave of its peers, who would go on waiting for it otherwise.
    host.until(lambda: 'narrator' not in listener.get_node_names(), 1.0, 'its leave')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(('module', 'topic'), [
    ('demo_camera', 'image_raw'), ('console', 'prompt')])
def test_a_signal_ends_the_other_nodes(host, listener, start_process, module, topic, number):
    process = start_process(module)
    host.until(lambda: listener.count_publishers(topic) == 1 + (topic == 'prompt'), what=topic)
    process.end(number, timeout_s=2.0)
    assert process.popen.returncode == 0, process.output
    assert 'Traceback' not in process.output


def test_a_narrator_without_a_checkpoint_stays_alive_and_says_why(
        host, listener, start_process, tmp_path):
    folder = tmp_path / 'nowhere'
    process = start_process('narrator', '-p', f'checkpoint:={folder}')
    host.until(lambda: 'waits unconfigured' in process.output, what='a log line')
    assert str(folder) in process.output
    client = host.client_of_process(listener, ChangeState, 'narrator/change_state')
    configure = Transition(id=Transition.TRANSITION_CONFIGURE)
    assert not host.call(client, ChangeState.Request(transition=configure)).success
    process.end()
    assert process.popen.returncode == 0


@pytest.mark.parametrize(('module', 'argument', 'reason'), [
    ('narrator', 'dtype:=float8', 'auto, float32, bfloat16, float16'),
    ('narrator', 'num_threads:=many', 'num_threads'),
    ('demo_camera', 'width:=3', 'width')])
def test_a_bad_parameter_at_the_start_is_named(start_process, module, argument, reason):
    process = start_process(module, '-p', argument)
    assert process.popen.wait(60.0) == 1
    assert reason in process.output
    assert 'Traceback' not in process.output


def test_parameters_answer_while_the_model_runs(
        host, listener, start_process, babbling_checkpoint):
    start_process('demo_camera', '-r', 'image_raw:=image')
    start_process('narrator', '-p', f'checkpoint:={babbling_checkpoint}', '-p', 'frame_rate:=10.0')
    client = host.client_of_process(listener, GetParameters, 'narrator/get_parameters')
    request = GetParameters.Request(names=['checkpoint'])
    host.call(client, request)
    host.until(lambda: listener.of_type('token'), what='the first word')
    num_tokens = len(listener.of_type('token'))
    durations_s = []
    for _ in range(20):
        start_s = time.monotonic()
        response = host.call(client, request)
        durations_s.append(time.monotonic() - start_s)
        assert response.values[0].string_value == str(babbling_checkpoint)
    host.until(lambda: len(listener.of_type('token')) > num_tokens, what='more words')
    assert median(durations_s) < 0.05


def test_nodes_follow_their_namespace_and_remappings(
        host, listener, start_process, babbling_checkpoint):
    start_process('demo_camera', '-r', '__ns:=/robot', '-r', 'image_raw:=front/image')
    start_process(
        'narrator', '-r', '__ns:=/robot', '-r', 'image:=front/image', '-r', '__node:=eyes',
        '-p', f'checkpoint:={babbling_checkpoint}')
    heard = []
    listener.create_subscription(
        String, '/robot/eyes/narration', lambda message: heard.append(message.data), 10)
    host.until(lambda: heard, what='a narration in the namespace')
    names = {name for name, _ in listener.get_topic_names_and_types()}
    assert {'/robot/front/image', '/robot/prompt', '/robot/eyes/tokens', '/robot/eyes/silence',
            '/robot/eyes/events', '/robot/demo_camera/truth'} <= names


def test_console_prints_what_it_hears_without_a_terminal(
        host, listener, start_process, babbling_checkpoint):
    start_process('demo_camera', '-r', 'image_raw:=image')
    start_process(
        'narrator', '-p', f'checkpoint:={babbling_checkpoint}', '-p', 'frame_rate:=1.0')
    console = start_process('console', stdin=subprocess.PIPE)
    console.popen.stdin.write('What do you see?\n')
    # The end of the input ends the typing, not the console.
    console.popen.stdin.close()
    host.until(lambda: '> What do you see?\n' in console.output, what='the prompt')
    num_lines = console.output.count('\n')
    host.until(lambda: console.output.count('\n') > num_lines + 4, what='more narration')
    assert '[observing]\n' in console.output
    console.end()
    assert console.popen.returncode == 0


def test_what_is_typed_waits_for_the_narrator_though_a_recorder_listens(
        host, listener, start_process, babbling_checkpoint):
    recorded = []
    recorder = listener.create_subscription(
        String, 'prompt', lambda message: recorded.append(message.data), 10)
    # As from a file: all at once, and more than the narrator's queue holds.
    lines = ['What do you see?', *(f'And number {number}?' for number in range(150))]
    console = start_process('console', stdin=subprocess.PIPE)
    console.popen.stdin.write(''.join(f'{line}\n' for line in lines))
    console.popen.stdin.close()
    # The listener's own publisher is the other one.
    host.until(lambda: listener.count_publishers(recorder.topic_name) == 2, what='the console')
    start_process('demo_camera', '-r', 'image_raw:=image')
    start_process('narrator', '-p', f'checkpoint:={babbling_checkpoint}')
    # The record of the question itself may come before the listener hears this narrator.
    host.until(lambda: any(record['standing_prompt_id'] for record in
                           listener.of_type('narration')), what='what is said after the question')
    host.until(lambda: len(recorded) == len(lines), what='the record of all of them')
    assert recorded == lines
    # The narrator counts them.
    host.until(lambda: listener.of_type('prompt')[-1]['prompt_id'] == f'prompt-{len(lines)}',
               what='the last question')


def test_demo_ends_by_itself_and_compares(babbling_checkpoint, elsewhere):
    demo = subprocess.run(
        [sys.executable, '-m', 'moss_ros.nodes.demo', '--seconds', '4', '--checkpoint',
         str(babbling_checkpoint)],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        env=elsewhere)
    assert demo.returncode == 0, demo.stderr
    lines = demo.stdout.splitlines()
    assert re.fullmatch(r'Look at it in a browser: http://127\.0\.0\.1:\d+/', lines[0])
    assert '[observing]' in lines
    assert ' events, ' in lines[-1] and 'quiet frames' in lines[-1]


def test_demo_narrates_a_video_of_which_no_truth_is_known(
        tmp_path, babbling_checkpoint, elsewhere):
    path = write_video(tmp_path / "my 'clip'.mp4", evenly(10, step=20), crf=1)
    demo = subprocess.run(
        [sys.executable, '-m', 'moss_ros.nodes.demo', '--seconds', '2', '--view', 'terminal',
         '--video', str(path), '--checkpoint', str(babbling_checkpoint)],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        env=elsewhere)
    assert demo.returncode == 0, demo.stderr
    first, *_, last = demo.stdout.splitlines()
    assert first.startswith(f'The video {path} as a camera, again and again')
    assert re.fullmatch(
        r'\d+ sentences? said in \d+ frames; what truly happened is not known', last)


def test_demo_reports_a_process_that_died(elsewhere):
    # rclpy refuses the parameter: the camera ends at once.
    demo = subprocess.run(
        [sys.executable, '-m', 'moss_ros.nodes.demo', '--seed', '-5'],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        env=elsewhere)
    assert demo.returncode == 1
    assert 'demo_camera ended with exit status 1' in demo.stderr
    assert 'seed out of range' in demo.stderr


def test_demo_ends_on_a_signal_to_it_alone(babbling_checkpoint, elsewhere):
    demo = subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.nodes.demo', '--view', 'terminal', '--checkpoint',
         str(babbling_checkpoint)],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        env=elsewhere)
    # The time of day: something was said. What compares hears it on a way of its own, and may have
    # been found a moment later than the console.
    num_said = 0
    for line in demo.stdout:
        assert 'http' not in line
        num_said += line[2:3] == ':'
        if num_said == 3:
            break
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=10)
    assert demo.returncode == 0
    assert 'quiet frames' in rest.splitlines()[-1]
