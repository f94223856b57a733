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

"""The settings for large images: what is set, what is left alone, and that images arrive."""

import argparse
from xml.etree import ElementTree

from moss_ros.nodes.node_process import large_image_environment, profile_path
import pytest
from tools.transport_benchmark import measure

ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': '1073741824', 'MALLOC_TRIM_THRESHOLD_': '1073741824'}
NAMESPACE = '{http://www.eprosima.com}'


def test_what_is_not_set_is_added():
    assert large_image_environment({}) == {
        **ALLOCATOR, 'FASTDDS_DEFAULT_PROFILES_FILE': str(profile_path())}


@pytest.mark.parametrize('name', [
    'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'])
def test_the_users_profile_is_left_alone(name):
    assert large_image_environment({name: '/mine.xml'}) == ALLOCATOR


def test_the_users_allocator_settings_are_left_alone():
    added = large_image_environment({'MALLOC_TRIM_THRESHOLD_': '1', 'HOME': '/root'})
    assert set(added) == {'MALLOC_MMAP_THRESHOLD_', 'FASTDDS_DEFAULT_PROFILES_FILE'}


def test_the_profile_holds_large_images_and_keeps_the_network():
    root = ElementTree.parse(profile_path()).getroot()
    names = [item.text for item in root.iter(f'{NAMESPACE}transport_id')]
    assert names[:2] == names[2:]
    kinds = [item.text for item in root.iter(f'{NAMESPACE}type')]
    assert sorted(kinds) == ['SHM', 'UDPv4']
    bytes_of_1080p = 3 * 1920 * 1080
    assert int(root.find(f'.//{NAMESPACE}segment_size').text) >= 10 * bytes_of_1080p
    assert int(root.find(f'.//{NAMESPACE}maxMessageSize').text) > bytes_of_1080p


def test_large_images_arrive_best_effort():
    arguments = argparse.Namespace(seconds=2.0, rate=4.0, width=1920, height=1080)
    result = measure(arguments, 'best_effort', True)
    assert (result['settings'], result['num_published']) == ('large images', 8)
    assert result['num_received'] >= 4
    assert 0 < result['latency_median_ms'] <= result['latency_p99_ms']
