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

"""Start a narrator on a camera's images."""

from moss_ros.nodes.launching import (
    COMMON_ARGUMENTS, DESK, launch_description, NARRATOR_PARAMETERS, NodeStart,
)

ARGUMENTS = ('image', 'prompt_topic', *NARRATOR_PARAMETERS, *COMMON_ARGUMENTS)
NODES = (
    NodeStart('narrator', name='narrator',
              parameters={name: name for name in NARRATOR_PARAMETERS},
              remappings={'image': 'image', 'prompt': 'prompt_topic'}),
    DESK,
)


def generate_launch_description():
    """Return the narrator with its arguments."""
    return launch_description(ARGUMENTS, NODES)
