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

"""A process whose daemon thread is inside the model ends with its own exit status."""

from pathlib import Path
import subprocess
import sys

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# A step of 0.7 s, of which no product takes longer than a few milliseconds: the main thread
# ends while it runs. The last line is told by the thread, when the step is over.
PROGRAM = """
import queue, sys, threading, time
from PIL import Image
import moss_ros
from moss_ros.model import VideoModel
import torch
torch.set_num_threads(1)

checkpoint, kind, step, status = sys.argv[1:]
is_inside = threading.Event()
matrix = torch.ones(300, 300)

def slowed(original):
    def work(*arguments, **options):
        is_inside.set()
        end_s = time.monotonic() + 0.7
        while time.monotonic() < end_s:
            torch.mm(matrix, matrix)
        sys.stderr.write('the step is over\\n')
        return original(*arguments, **options)
    return work

generator = moss_ros.load_generator(checkpoint)
if step == 'sample':
    from moss_ros.stream import decoding
    decoding.sample_token = slowed(decoding.sample_token)
else:
    setattr(VideoModel, step, slowed(getattr(VideoModel, step)))

picture = Image.new('RGB', (20, 15))
first, second, tokens = queue.Queue(), queue.Queue(), queue.Queue()
if kind == 'live':
    first.put(picture)
    call, arguments = generator.real_time_generate, (first, second, tokens)
else:
    first.put({'prompt': 'What do you see?', 'images': [picture]})
    call, arguments = generator.offline_generate, (None, first, tokens)
threading.Thread(target=call, args=arguments, daemon=True).start()
assert is_inside.wait(60)
sys.exit(int(status))
"""


@pytest.mark.parametrize('kind, step, status', [
    ('live', 'append', 0), ('live', 'new_cache', 3), ('live', 'sample', 3),
    ('offline', 'extend', 0), ('offline', 'new_cache', 3), ('offline', 'sample', 3),
])
def test_the_exit_status_is_that_of_the_program(checkpoint, kind, step, status):
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM, checkpoint, kind, step, str(status)], cwd=REPOSITORY,
        capture_output=True, text=True, timeout=120)
    assert result.returncode == status, result.stderr
    assert result.stderr == 'the step is over\n'
