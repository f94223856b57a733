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

"""The narrator with a checkpoint's own code, over DDS: good code, and every bad one."""

import json
import os
from pathlib import Path
import shutil
import signal
from statistics import median
import time

from black_camera import BlackCamera
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from moss_ros.engines.loading import make_engine
from moss_ros.nodes.narrator import Narrator
from moss_ros.settings import NarratorSettings
import psutil
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import Parameter

FAKE_MODEL = Path(__file__).parents[1] / 'remote' / 'fake_model.py'


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that makes a checkpoint folder with code of some behaviour."""
    def make(behaviour, *said):
        folder = tmp_path / behaviour
        folder.mkdir()
        shutil.copy(FAKE_MODEL, folder)
        (folder / 'config.json').write_text(json.dumps({
            'queue_api': 'fake_model.py:load', 'behaviour': behaviour, 'said': said}))
        return folder

    return make


@pytest.fixture
def parameters(checkpoint):
    """Return a function: the parameters of a narrator with code of some behaviour."""
    return lambda behaviour, *said, **others: {
        'checkpoint': str(checkpoint(behaviour, *said)), 'backend': 'remote_code',
        'trust_remote_code': True, 'frame_rate': 10.0, **others}


@pytest.fixture
def make_narrator(host, parameters):
    """Return a function that makes a narrator in this process."""
    return lambda *behaviour, **others: host.add(Narrator(parameter_overrides=[
        Parameter(name, value=value) for name, value in parameters(*behaviour, **others).items()]))


@pytest.fixture
def start_narrator(start_process, parameters):
    """Return a function that starts a narrator in a process of its own."""
    def start(*behaviour):
        arguments = []
        for name, value in parameters(*behaviour).items():
            arguments += ['-p', f'{name}:={json.dumps(value)}']
        return start_process('narrator', *arguments)

    return start


@pytest.fixture
def camera(host, listener):
    """Return a BlackCamera."""
    return BlackCamera(host, listener)


def remote_processes(pid):
    """Return the ids of the processes with a remote model that a process has started."""
    return [process.pid for process in psutil.Process(pid).children()
            if runs_remote_model(process)]


def runs_remote_model(process):
    try:
        return any('moss_ros/remote/remote_main.py' in word for word in process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def test_the_code_is_not_run_unless_it_is_trusted(host, listener, make_narrator, capfd):
    make_narrator('killed', trust_remote_code=False)
    logged = []
    host.until(lambda: logged.append(capfd.readouterr().err) or 'waits unconfigured' in ''.join(
        logged), what='a log line')
    assert 'trust_remote_code is False' in ''.join(logged)
    assert not remote_processes(os.getpid())


@pytest.mark.parametrize(('settings', 'words'), [
    ({'system_prompt': 'Watch.'}, "system_prompt is 'Watch.'"),
    ({'quantization': 'int4'}, "quantization is 'int4'"),
    ({'checkpoint': ''}, 'checkpoint is empty'),
    ({'checkpoint': 'owner/name'}, 'owner/name is no checkpoint folder'),
    ({'remote_python': '/no/such/python'}, "'/no/such/python' cannot be started"),
])
def test_what_cannot_be_done_is_refused(checkpoint, settings, words):
    given = {'checkpoint': str(checkpoint('polite')), 'backend': 'remote_code',
             'trust_remote_code': True, **settings}
    with pytest.raises(Exception, match=words):
        make_engine(NarratorSettings(**given))


def test_frames_are_narrated_and_a_prompt_is_answered(host, listener, camera, make_narrator):
    make_narrator('polite', '<|silence|>', 'A red ', 'ball.<|silence|>')
    host.until(lambda: listener.silence, what='the first state')
    for _ in range(3):
        stamp_ns = camera.show()
        host.until(lambda: listener.events and listener.events[-1]['stamp_ns'] == stamp_ns,
                   what='an event of it')
    host.until(lambda: listener.narration == ['A red ball.'], what='the narration')
    end, = host.until(lambda: listener.of_type('narration'), what='its event')
    assert (end['first_stamp_ns'], end['stamp_ns'], end['reason']) == (
        2 * 10 ** 9, 3 * 10 ** 9, 'silence')
    assert end['latency_ms'] > 0
    host.until(lambda: listener.silence == [True, False, True], what='the states')
    listener.ask('What now?')
    host.until(lambda: listener.narration[1:] == ['You asked: What now?'], what='the answer')
    host.until(lambda: len(listener.of_type('narration')) == 2, what='its event')
    prompt, = listener.of_type('prompt')
    assert listener.of_type('narration')[1]['prompt_id'] == prompt['prompt_id']


def test_sampling_of_the_node_reaches_the_code(host, listener, camera, make_narrator):
    make_narrator('telling_its_keywords', sampling='greedy', temperature=0.5)
    camera.show()
    host.until(lambda: listener.tokens == [repr({'do_sample': False, 'temperature': 0.5})],
               what='its keywords')


def test_what_the_code_is_called_with_is_not_changed_while_it_runs(host, make_narrator):
    narrator = make_narrator('polite')
    host.until(lambda: narrator.lifecycle_state == 'active', what='active')
    for name, value in (('answer_within_s', 5.0), ('temperature', 0.5),
                        ('max_tokens_between_frames', 9)):
        result, = narrator.set_parameters([Parameter(name, value=value)])
        assert not result.successful and 'clean up, change them' in result.reason


def test_the_process_lives_from_configure_to_cleanup(host, listener, camera, make_narrator):
    make_narrator('polite', 'A ball.', autostart=False)
    client = listener.create_client(ChangeState, 'narrator/change_state')

    def change(transition):
        assert host.call(
            client, ChangeState.Request(transition=Transition(id=transition))).success
        return remote_processes(os.getpid())

    assert remote_processes(os.getpid()) == []
    processes = change(Transition.TRANSITION_CONFIGURE)
    assert len(processes) == 1
    for number in (1, 2):
        assert change(Transition.TRANSITION_ACTIVATE) == processes
        camera.show()
        # The stream began anew: the first thing is said again.
        host.until(lambda number=number: listener.tokens == ['A ball.'] * number, what='a word')
        assert change(Transition.TRANSITION_DEACTIVATE) == processes
    assert change(Transition.TRANSITION_CLEANUP) == []


def parameter_call_s(host, listener):
    """Return the median of 20 parameter calls to a narrator, in seconds."""
    client = host.client_of_process(listener, GetParameters, 'narrator/get_parameters')
    request = GetParameters.Request(names=['backend'])
    host.call(client, request)
    durations_s = []
    for _ in range(20):
        start_s = time.monotonic()
        response = host.call(client, request)
        durations_s.append(time.monotonic() - start_s)
        assert response.values[0].string_value == 'remote_code'
    return median(durations_s)


def test_parameters_answer_while_the_code_busy_waits(host, listener, camera, start_narrator):
    process = start_narrator('busy_waiting')
    camera.run()
    host.until(lambda: listener.of_type('silence'), what='the first silence')
    num_before = len(listener.of_type('silence'))
    assert parameter_call_s(host, listener) < 0.05
    host.until(lambda: len(listener.of_type('silence')) > num_before, what='more silence')
    process.end()
    assert process.popen.returncode == 0, process.output


@pytest.mark.parametrize(('behaviour', 'kind'), [
    ('flooding', 'token'), ('flooding_with_silence', 'silence'),
    ('flooding_its_output', 'silence')])
def test_parameters_answer_while_the_code_floods(
        host, listener, camera, make_narrator, behaviour, kind):
    make_narrator(behaviour)
    camera.run()
    host.until(lambda: listener.of_type(kind), what=f'the first {kind}')
    assert parameter_call_s(host, listener) < 0.05


def test_a_process_that_dies_is_reported_and_started_again_ever_later(
        host, listener, camera, make_narrator):
    make_narrator('killed')
    camera.run()
    times_s = []
    for number in (1, 2, 3):
        host.until(
            lambda number=number: len(listener.of_type('error')) >= number, what='an error')
        times_s.append(time.monotonic())
    for record in listener.of_type('error'):
        assert 'SIGKILL' in record['text'] and 'out of memory' in record['text']
    assert {record['reason'] for record in listener.of_type('narration')} == {'stopped'}
    assert times_s[1] - times_s[0] > 1.0 and times_s[2] - times_s[1] > 2.0


@pytest.mark.parametrize(('behaviour', 'number'), [
    ('busy_waiting', signal.SIGINT), ('never_stopping', signal.SIGTERM),
    ('frozen', signal.SIGINT)])
def test_a_signal_ends_it_and_its_process(
        host, listener, camera, start_narrator, behaviour, number):
    process = start_narrator(behaviour)
    camera.run()
    host.until(lambda: [record for record in listener.events if record['stamp_ns']],
               what='a frame to be taken')
    pid, = remote_processes(process.popen.pid)
    process.end(number, timeout_s=2.0)
    assert process.popen.returncode == 0, process.output
    assert not psutil.pid_exists(pid)


def test_a_signal_ends_it_while_the_code_loads(host, start_narrator):
    process = start_narrator('loading_without_end')
    pid, = host.until(lambda: remote_processes(process.popen.pid), what='the process')
    process.end(timeout_s=2.0)
    assert process.popen.returncode == 0, process.output
    host.until(lambda: not psutil.pid_exists(pid), 2.0, 'its end')
