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

"""What the tests of bags share: a bag of a rendered scene, and a run."""

from bag_making import make_scene_bag
from moss_ros.bag import narrate_bag
import pytest
from runs import OPTIONS


@pytest.fixture(scope='session')
def scene_bag(tmp_path_factory):
    """Return an MCAP bag of 40 s with JPEG pictures, and a prompt in it."""
    return make_scene_bag(
        tmp_path_factory.mktemp('bags') / 'scene', 71, 40.0, (12.0, 'What do you see?'),
        is_compressed=True)


@pytest.fixture(scope='session')
def narrated(scene_bag, tmp_path_factory):
    """Return the folder of a run over scene_bag that nothing interrupted."""
    output = tmp_path_factory.mktemp('outputs') / 'whole'
    narrate_bag(scene_bag.path, output, OPTIONS)
    return output
