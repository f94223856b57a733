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

"""Questions over DDS, with a model that decides as the published one was trained to."""

import json
from pathlib import Path
import shutil
import time

from black_camera import BlackCamera, NS_PER_S
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from moss_ros.nodes.narrator import Narrator
from moss_ros.stream import ChatFormat, EngineWorker, StreamOptions, StreamSession
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from scripted_model import ScriptedModel, write_tokenizer

FAKE_MODEL = Path(__file__).parents[1] / 'remote' / 'fake_model.py'
# What is said at each decision; '' is silence. What ends without a full stop goes on for ever.
SAID = ('', '', 'A ball.', 'It left.', '', '', '', 'A box', 'Yes.')


class Script:
    """Says SAID, the next of it at each decision that is not in the middle of a sentence."""

    def __init__(self, chat, said):
        self._chat = chat
        self._said = iter(said)
        self._ids = []
        self._endless_id = None
        self._num_turns = 0

    def __call__(self, model):
        num_turns = model.seen_ids.count(self._chat.eot_id)
        if num_turns != self._num_turns:
            self._num_turns, self._ids, self._endless_id = num_turns, [], None
        if not self._ids and self._endless_id is None:
            text = next(self._said, '')
            self._ids = self._chat.encode_text(text)
            if text and not text.endswith('.'):
                self._endless_id = self._ids[-1]
            else:
                self._ids.append(self._chat.silence_id)
        return self._ids.pop(0) if self._ids else self._endless_id


@pytest.fixture
def chat(tmp_path):
    return ChatFormat(write_tokenizer(tmp_path / 'tokenizer.json'))


@pytest.fixture
def own(host, chat):
    """Return a function that makes a narrator whose model is given, on this package's engine."""
    def make(model, **parameters):
        def make_engine(settings):
            options = StreamOptions(max_context_tokens=10_000, max_tokens_between_frames=4000)
            return StreamSession(model, chat, options), EngineWorker(settings.num_threads)

        return host.add(Narrator(make_engine, parameter_overrides=[
            Parameter(name, value=value) for name, value in parameters.items()]))

    return make


@pytest.fixture(params=['own', 'remote_code'])
def trained(request, host, chat, own, tmp_path):
    """Return a function that makes a narrator of a backend that says SAID."""
    def make(**parameters):
        if request.param == 'own':
            return own(ScriptedModel(chat, Script(chat, SAID)), max_tokens_per_second=20.0,
                       **parameters)
        shutil.copy(FAKE_MODEL, tmp_path)
        said = [text + '<|silence|>' * (not text or text.endswith('.')) for text in SAID]
        (tmp_path / 'config.json').write_text(json.dumps({
            'queue_api': 'fake_model.py:load', 'behaviour': 'trained', 'said': said}))
        given = {'checkpoint': str(tmp_path), 'backend': 'remote_code',
                 'trust_remote_code': True, **parameters}
        return host.add(Narrator(parameter_overrides=[
            Parameter(name, value=value) for name, value in given.items()]))

    return make


class Camera(BlackCamera):
    """A camera each of whose pictures has been decided about when show() returns."""

    def __init__(self, host, listener):
        super().__init__(host, listener)
        self._host, self._listener = host, listener

    def show(self):
        """Publish a picture a second newer than the one before, and wait for the decision."""
        stamp_ns = super().show()
        self._host.until(lambda: [
            record for record in self._listener.events if record['stamp_ns'] == stamp_ns
            and record['type'] in ('silence', 'token')], what='a decision about it')
        return stamp_ns


@pytest.fixture
def camera(host, listener):
    """Return a Camera."""
    return Camera(host, listener)


@pytest.fixture
def statuses(listener):
    """Return all statuses of the narrator that are heard, oldest first."""
    heard = []
    listener.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: heard.extend(message.status),
        QoSProfile(depth=10))
    return heard


def answer_to(host, listener, text):
    """Ask text, and return the record of the answer to just that, as docs/topics.md tells."""
    num_before = len(listener.events)
    listener.ask(text)
    prompt = host.until(lambda: [
        record for record in listener.events[num_before:]
        if record['type'] == 'prompt' and record['text'] == text], what='the prompt')[0]
    return lambda: next((record for record in listener.of_type('narration')
                         if record['prompt_id'] == prompt['prompt_id']), None)


def test_an_answer_belongs_to_its_question(host, listener, camera, trained):
    trained(answer_within_s=2.0)
    host.until(lambda: listener.silence and listener.prompts.get_subscription_count(),
               what='the first state')
    camera.show()
    first = answer_to(host, listener, 'What do you see?')
    camera.show()
    assert first() is None
    camera.show()
    assert host.until(first, what='the answer')['text'] == 'A ball.'
    camera.show()
    host.until(lambda: len(listener.of_type('narration')) == 2, what='an update')
    second = answer_to(host, listener, 'Anything else?')
    for _ in range(3):
        camera.show()
    assert host.until(second, what='that none comes')['reason'] == 'unanswered'
    camera.show()
    third = answer_to(host, listener, 'Is it red?')
    assert host.until(third, what='the answer')['text'] == 'Yes.'
    ends = listener.of_type('narration')
    assert [(record['reason'], record['prompt_id'], record['standing_prompt_id'])
            for record in ends] == [
        ('silence', 'prompt-1', 'prompt-1'), ('silence', None, 'prompt-1'),
        ('unanswered', 'prompt-2', 'prompt-2'), ('interrupted', None, 'prompt-2'),
        ('silence', 'prompt-3', 'prompt-3')]
    assert ends[1]['text'] == 'It left.'
    assert ends[2]['text'] == ''
    assert ends[3]['text'].startswith('A')
    assert listener.narration[:2] == ['A ball.', 'It left.']


def test_the_newest_picture_is_shown_behind_a_question(
        host, listener, camera, statuses, chat, own):
    narrator = own(ScriptedModel(chat, Script(chat, ('', 'No.'))), frame_rate=1.0)
    host.until(lambda: listener.silence and listener.prompts.get_subscription_count(),
               what='the first state')
    begin_ns = camera.show()
    for tenth in (1, 2, 3):
        camera.send(begin_ns + tenth * NS_PER_S // 10)
        host.until(lambda tenth=tenth: narrator.image_input.num_received == 1 + tenth,
                   what='the picture')
    assert narrator.image_input.num_used == 1
    answer = host.until(answer_to(host, listener, 'Is it red?'), what='the answer')
    assert (answer['text'], answer['first_stamp_ns']) == ('No.', begin_ns + 3 * NS_PER_S // 10)
    # Without a question the next one would have been shown after a second.
    assert narrator.image_input.num_used == 2
    figures = host.until(lambda: [
        value.value for status in statuses for value in status.values
        if value.key == 'time from prompt to answer (ms)' and value.value], what='the figure')
    assert 0 < float(figures[0]) < 60_000


class SlowModel(ScriptedModel):
    """Takes a second for a frame, in twenty parts."""

    def encode_frames_in_blocks(self, pixel_values):
        for _ in range(20 * len(pixel_values)):
            time.sleep(0.05)
            yield
        return self.encode_frames(pixel_values)


def test_a_slow_model_keeps_neither_a_prompt_nor_a_transition_waiting(
        host, listener, camera, statuses, chat, own):
    narrator = own(SlowModel(chat), frame_rate=10.0)
    host.until(lambda: listener.silence and listener.prompts.get_subscription_count(),
               what='the first state')
    stamps_ns = iter(range(NS_PER_S, 10 ** 12, NS_PER_S // 10))
    listener.create_timer(0.1, lambda: camera.send(next(stamps_ns)))
    host.until(lambda: len(listener.of_type('silence')) >= 3, what='some frames')
    begin_s = time.monotonic()
    listener.ask('Is it red?')
    host.until(lambda: listener.of_type('prompt'), what='the prompt')
    assert time.monotonic() - begin_s < 1.5
    message = host.until(
        lambda: next((status.message for status in statuses
                      if 'the model takes' in status.message), None), what='a warning')
    assert 'about one frame in 1' in message
    change_state = listener.create_client(ChangeState, 'narrator/change_state')
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    host.until(change_state.service_is_ready, what='the service')
    begin_s = time.monotonic()
    assert host.call(change_state, request).success
    assert time.monotonic() - begin_s < 2.5
    assert narrator.lifecycle_state == 'inactive'
