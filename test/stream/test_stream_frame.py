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

"""Frames and prompts: what is refused, and with which words."""

from moss_ros.stream import Frame, Prompt
import numpy as np
import pytest

IMAGE = np.zeros((4, 6, 3), np.uint8)


def test_a_frame_of_any_size_is_taken():
    for height_px, width_px in ((1, 1), (4, 6), (1080, 1920)):
        Frame(np.zeros((height_px, width_px, 3), np.uint8), 5, 6)
    assert Frame(IMAGE, 5).received_ns == 0


@pytest.mark.parametrize(('image', 'named'), [
    (IMAGE.astype(np.float32), 'float32'), (IMAGE.astype(np.int8), 'int8'),
    (IMAGE[..., :2], r'\[4, 6, 2\]'), (IMAGE[..., 0], r'\[4, 6\]'), (IMAGE[:0], r'\[0, 6, 3\]'),
    (IMAGE[:, :0], r'\[4, 0, 3\]'), (np.zeros((4, 6, 4), np.uint8), r'\[4, 6, 4\]'),
    ([[[0, 0, 0]]], 'list'), (None, 'NoneType'),
])
def test_a_wrong_image_is_refused_by_what_is_wrong(image, named):
    with pytest.raises(ValueError, match=named):
        Frame(image, 0)


@pytest.mark.parametrize('times', [(1.5, 0), (None, 0), (0, '1'), (True, 0)])
def test_a_time_that_is_no_whole_number_is_refused(times):
    with pytest.raises(ValueError, match='_ns'):
        Frame(IMAGE, *times)


@pytest.mark.parametrize('text', ['', ' ', '\n\t', '\u3000', None, 3])
def test_a_prompt_without_words_is_refused(text):
    with pytest.raises(ValueError) as error:
        Prompt(text, 'p1')
    assert repr(text) in str(error.value)


@pytest.mark.parametrize('prompt_id', ['', None, 3])
def test_a_prompt_needs_an_id(prompt_id):
    with pytest.raises(ValueError, match='prompt_id'):
        Prompt('What?', prompt_id)
