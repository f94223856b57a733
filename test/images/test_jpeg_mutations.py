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

"""
JPEGs as cameras, drivers and networks leave them, made from whole ones by seeded mutations.

What is shown is the whole picture to the last grey level, and what Pillow decodes is shown.
"""

from io import BytesIO
import random

from moss_ros.images import BadImageError, check_compressed, compressed_to_rgb
import numpy as np
from PIL import Image
import pytest

SEED = 20261
NUM_OF_EACH = 60
PICTURE = np.random.default_rng(SEED).integers(0, 256, (6, 10, 3), np.uint8).repeat(
    12, axis=0).repeat(12, axis=1)
PICTURE[20:50, 30:90] += np.random.default_rng(2).integers(0, 90, (30, 60, 3), np.uint8)


def encoded(picture=PICTURE, mode='RGB', **options):
    file = BytesIO()
    Image.fromarray(picture).convert(mode).save(file, 'JPEG', **options)
    return file.getvalue()


WHOLE = {
    'baseline': encoded(quality=90),
    'fine': encoded(quality=98, subsampling=0),
    'progressive': encoded(quality=85, progressive=True),
    'restarts': encoded(quality=85, restart_marker_blocks=5),
    'restarts in rows': encoded(quality=85, restart_marker_rows=1),
    'grey': encoded(mode='L', quality=85),
    'cmyk': encoded(mode='CMYK', quality=85),
    'own tables': encoded(quality=80, optimize=True),
}
SEQUENTIAL = sorted(set(WHOLE) - {'progressive'})


def decoded_by_pillow(data):
    """Return the picture u8 [H, W, 3]; None where Pillow refuses it."""
    try:
        with Image.open(BytesIO(data)) as image:
            return np.array(image.convert('RGB'))
    except Exception:  # whatever each version of it raises
        return None


def shown(data):
    """Return the picture, or the kind of what is wrong with it."""
    try:
        return compressed_to_rgb('jpeg', data)
    except BadImageError as error:
        return error.kind


def segment_starts(data):
    """Return where each segment of the header starts, that of the scan too."""
    starts, position = [], 2
    while True:
        starts.append(position)
        if data[position + 1] == 0xda:
            return starts
        position += 2 + int.from_bytes(data[position + 2:position + 4], 'big')


def segment(marker, content):
    return bytes((0xff, marker)) + (len(content) + 2).to_bytes(2, 'big') + content


def inserted(draw, data, content):
    position = draw.choice(segment_starts(data)[1:])
    return data[:position] + content + data[position:]


def with_filler(draw, data):
    return inserted(draw, data, draw.choice((
        bytes(draw.randrange(1, 40)), b'\xff' * draw.randrange(1, 9),
        bytes(draw.randrange(255) for _ in range(draw.randrange(1, 60))))))


def with_broken_app(draw, data):
    content = draw.choice((
        b'', b'Exif\0\0' + draw.randbytes(30), b'Exif\0\0MM\0\x2a\xff\xff\xff\xff',
        b'MPF\0II\x2a\0' + draw.randbytes(20), b'JFIF\0', b'Adobe', b'ICC_PROFILE\0\1',
        b'Photoshop 3.0\x008BIM' + draw.randbytes(9), draw.randbytes(200)))
    return inserted(draw, data, segment(draw.choice((*range(0xe1, 0xf0), 0xfe)), content))


def with_short_length(draw, data):
    return inserted(draw, data, bytes((0xff, draw.randrange(0xe1, 0xee), 0, draw.randrange(2))))


def with_thumbnail(draw, data):
    thumbnail = encoded(PICTURE[::6, ::6])
    return data[:2] + segment(0xe1, b'Exif\0\0' + draw.randbytes(12) + thumbnail) + data[2:]


def with_padding(draw, data):
    return data + draw.choice((bytes(draw.randrange(1, 900)), draw.randbytes(50), data))


HARMLESS = [with_filler, with_broken_app, with_short_length, with_thumbnail, with_padding]


@pytest.mark.parametrize('mutate', HARMLESS, ids=lambda mutate: mutate.__name__)
def test_what_does_not_belong_to_the_picture_does_no_harm(mutate):
    draw = random.Random(SEED)
    num_by_pillow = 0
    for number in range(NUM_OF_EACH):
        name = draw.choice(sorted(WHOLE))
        data = mutate(draw, WHOLE[name])
        check_compressed('jpeg', data)
        picture = shown(data)
        assert not isinstance(picture, str), (number, name, picture)
        assert np.array_equal(picture, decoded_by_pillow(WHOLE[name])), (number, name)
        num_by_pillow += decoded_by_pillow(data) is not None
    assert num_by_pillow > NUM_OF_EACH // 4


def test_what_is_cut_off_is_refused_whatever_is_before_and_behind_it():
    draw = random.Random(SEED)
    for number in range(4 * NUM_OF_EACH):
        name = draw.choice(sorted(WHOLE))
        data = WHOLE[name]
        if draw.random() < 0.7:
            data = draw.choice(HARMLESS[:4])(draw, data)
        # At least so much is missing that it shows.
        data = data[:draw.randrange(3, len(data) - 12)]
        behind = draw.choice((b'', bytes(500), b'\xff\xd8\xff\xe0'))
        kind = shown(data + behind)
        assert isinstance(kind, str), (number, name, len(data), behind[:4])
        assert kind in ('truncated', 'not_convertible')
        if not behind:
            assert decoded_by_pillow(data) is None


def test_the_next_picture_is_not_taken_for_the_rest_of_one_that_is_cut_off():
    draw = random.Random(SEED)
    for name in sorted(WHOLE):
        data = WHOLE[name]
        for _ in range(5):
            cut = draw.randrange(segment_starts(data)[-1] + 20, len(data) - 12)
            assert isinstance(shown(data[:cut] + WHOLE['fine']), str), (name, cut)


def test_a_picture_is_whole_without_the_end_mark():
    draw = random.Random(SEED)
    num_whole = 0
    for number in range(2 * NUM_OF_EACH):
        name = draw.choice(SEQUENTIAL)
        data = WHOLE[name]
        num_missing = draw.choice((2, 2, 2, 3, 4, 5))
        cut = data[:-num_missing] + bytes(draw.choice((0, 0, 4, 700)))
        picture = shown(cut)
        if num_missing == 2:
            assert not isinstance(picture, str), (number, name)
        if not isinstance(picture, str):
            num_whole += 1
            assert np.array_equal(picture, decoded_by_pillow(data)), (number, name, num_missing)
        else:
            assert picture == 'truncated'
    assert NUM_OF_EACH // 2 < num_whole < 2 * NUM_OF_EACH


def test_restarts_that_are_missing_are_missed():
    data = WHOLE['restarts']
    marks = [index for index in range(len(data)) if data[index] == 0xff
             and 0xd0 <= data[index + 1] <= 0xd7]
    assert len(marks) > 5
    for mark in marks:
        for cut in (data[:mark], data[:mark + 2]):
            assert isinstance(shown(cut), str), (marks, len(cut))


def test_a_progressive_picture_needs_its_end_mark():
    """Without it nobody knows how many scans were to come; Pillow and OpenCV refuse it too."""
    data = WHOLE['progressive'][:-2]
    assert shown(data) == 'truncated' and decoded_by_pillow(data) is None


def test_the_size_is_that_of_the_picture_and_not_of_its_thumbnail():
    data = with_thumbnail(random.Random(1), WHOLE['fine'])
    assert check_compressed('jpeg', data) == PICTURE.shape[:2]


def test_random_changes_end_in_a_picture_or_an_error():
    draw = random.Random(SEED)
    kinds = set()
    for _ in range(4 * NUM_OF_EACH):
        data = bytearray(with_thumbnail(draw, WHOLE[draw.choice(sorted(WHOLE))]))
        for _ in range(draw.randint(1, 12)):
            data[draw.randrange(3, draw.choice((700, len(data))))] = draw.randrange(256)
        result = shown(bytes(data))
        kinds.add(result if isinstance(result, str) else result.dtype.name)
    assert {'uint8', 'truncated', 'not_convertible'} <= kinds
