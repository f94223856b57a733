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

"""The three scripts of the published model run as they stand, but for their loading line."""

from pathlib import Path
import queue
import subprocess
import sys
import threading

from moss_ros import load_generator
from moss_ros.training.scenes import Scene, SceneRenderer
from PIL import Image
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run_example(name, *arguments):
    result = subprocess.run(
        [sys.executable, '-m', f'examples.{name}', *map(str, arguments)], cwd=REPOSITORY,
        capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert 'Traceback' not in result.stderr
    return result.stdout


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'scene.png'
    Image.fromarray(SceneRenderer(Scene(5), 320, 240).render(4.0)).save(path)
    return path


def test_live_streaming(checkpoint, scene_clip):
    """A model that was never trained: whatever it says, the script prints it, and ends."""
    shown = run_example('live_streaming', scene_clip, '--checkpoint', checkpoint, '--fps', '2',
                        '--interval', '0.05', '--prompt', 'What do you see?')
    assert '<|' not in shown and '[ERROR]' not in shown
    assert shown.count('[Silence / Observing]') >= 1


def test_offline_video(checkpoint, scene_clip):
    shown = run_example('offline_video', scene_clip, '--checkpoint', checkpoint)
    assert shown.strip() and '<|' not in shown and '[ERROR]' not in shown


def test_offline_image(checkpoint, picture):
    shown = run_example('offline_image', picture, picture, '--checkpoint', checkpoint)
    assert shown.strip() and '<|' not in shown and '[ERROR]' not in shown


def test_an_error_is_shown(checkpoint, tmp_path):
    shown = run_example('offline_video', tmp_path / 'nowhere.mp4', '--checkpoint', checkpoint)
    assert shown.startswith('[ERROR] the video ') and 'does not exist' in shown


def test_live_streaming_of_the_embedded_model(trained_checkpoint, scene_clip):
    """It is asked at the beginning, answers, and observes silently in between."""
    shown = run_example('live_streaming', scene_clip, '--fps', '2', '--interval', '0.05',
                        '--prompt', 'What do you see?')
    assert 'I see ' in shown
    assert '[Silence / Observing]' in shown


def test_the_call_of_the_public_clients_answers(trained_checkpoint, clips):
    """Their names of the queues, their pace, and random sampling."""
    generator = load_generator(trained_checkpoint)
    images, prompts, tokens = queue.Queue(), queue.Queue(), queue.Queue()
    prompts.put('What do you see?')
    thread = threading.Thread(
        target=generator.real_time_generate, daemon=True,
        kwargs={'new_video_frames': images, 'new_prompts': prompts, 'output_text_queue': tokens,
                'processor': generator.processor, 'max_tokens_per_turn': 86400,
                'do_sample': True, 'temperature': 0.5})
    thread.start()
    said = ''
    for picture in clips.scene_pictures(5, 2.0, 6.0, fps=2):
        images.put(Image.fromarray(picture))
        piece = ''
        while piece != '<|silence|>':
            piece = tokens.get(timeout=60)
            assert '[ERROR]' not in piece
            said += piece
    assert said.count('<|round_start|>') == 1
    assert '.' in said.replace('<|silence|>', '')
    assert generator.stop_real_time_generate()
    thread.join(60)
    assert not thread.is_alive()


def test_offline_scripts_of_the_embedded_model(trained_checkpoint, scene_clip, picture):
    assert run_example('offline_video', scene_clip, '--fps', '2', '--prompt',
                       'What do you see?').startswith('I see ')
    assert run_example('offline_image', picture).startswith('I see ')
