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

"""What the model sees: within bounds for ever, and the same whether fed at once or bit by bit."""
from dataclasses import replace

import pytest
from tools.soak import frame_ms, judge, main, make_pictures, Sample, soak_node, soak_session


@pytest.fixture(scope='module')
def pictures():
    return make_pictures()


def test_a_session_holds_no_more_after_minutes(pictures):
    samples, num_rollovers = soak_session(600, pictures)
    assert [sample.num_frames for sample in samples] == [120, 240, 360, 480, 600]
    assert num_rollovers > 20
    found = judge(samples)
    assert found['frames'] == 600 and found['hours'] == 0.083
    assert not {'threads', 'files'} & set(found['broken'])
    assert found['memory_growth_percent'] < 10
    assert frame_ms(samples) > 0


def test_a_narrator_decides_on_each_frame(ros, pictures):
    samples, num_rollovers, num_lost = soak_node(240, pictures)
    assert [sample.num_frames for sample in samples] == [120, 240]
    assert num_lost == 0
    assert num_rollovers > 5
    assert samples[1].num_threads > 3 and samples[1].cpu_s > samples[0].cpu_s


@pytest.fixture
def flat():
    """Five hours in which nothing grows."""
    return [Sample(120 * number, 0.5 * number, 300.0, 9, 20) for number in range(1, 301)]


def test_what_stays_the_same_is_no_leak(flat):
    found = judge(flat)
    assert found['broken'] == []
    assert found['frame_cpu_ms'] == [4.17, 4.17]
    # What was allocated in the first hour, and a peak that is gone before its end, are none.
    flat[10] = replace(flat[10], memory_mb=400.0, num_threads=12, num_files=40)
    assert judge(flat)['broken'] == []


@pytest.mark.parametrize('name, changes', [
    ('memory', lambda number: {'memory_mb': 300.0 + 0.02 * number}),
    ('threads', lambda number: {'num_threads': 9 + (number > 250)}),
    ('files', lambda number: {'num_files': 20 + number // 60}),
    ('time', lambda number: {'cpu_s': 0.5 * number + 0.0006 * number ** 2})])
def test_what_grows_is_found(flat, name, changes):
    found = judge([replace(sample, **changes(number)) for number, sample in enumerate(flat)])
    assert found['broken'] == [name]


def test_a_broken_bound_is_told(flat, monkeypatch, capsys):
    grown = [replace(sample, memory_mb=float(number)) for number, sample in enumerate(flat, 300)]
    monkeypatch.setattr('tools.soak.soak_session', lambda num_frames, pictures: (grown, 7))
    monkeypatch.setattr('tools.soak.make_pictures', list)
    assert main(['--hours', '5', '--part', 'session']) == 1
    captured = capsys.readouterr()
    assert '"broken": ["memory"], "rollovers": 7' in captured.out
    assert captured.err == 'session: memory is beyond its bound\n'
    with pytest.raises(SystemExit):
        main(['--hours', '0'])
    assert '--hours is 0' in capsys.readouterr().err
