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

"""Start a narrator for each of several cameras, all in one process on one model."""

from moss_ros.nodes.launching import (
    COMMON_ARGUMENTS, DESK, launch_description, NARRATOR_PARAMETERS, NodeStart,
)

ARGUMENTS = ('cameras', 'image', 'prompt_topic', *NARRATOR_PARAMETERS, *COMMON_ARGUMENTS)
NODES = (
    # Without a name: it would become that of each narrator.
    NodeStart('multi_camera',
              parameters={name: name for name in ('cameras', *NARRATOR_PARAMETERS)},
              remappings={'image': 'image', 'prompt': 'prompt_topic'}),
    DESK,
)


def generate_launch_description():
    """Return the process of all narrators with its arguments."""
    return launch_description(ARGUMENTS, NODES)
