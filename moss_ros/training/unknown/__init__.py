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

"""Unknown scenes: what a camera anywhere may see, how it looks, and what is said of it."""

from moss_ros.training.unknown.statements import (
    GOING_ON, Happening, SENTENCES, SOMETHING_BY_ZONE, UnknownEvent,
)
from moss_ros.training.unknown.unknown_streams import (
    make_unknown_stream, render_unknown_stream, render_unknown_streams, UnknownStream,
)

__all__ = [
    'GOING_ON',
    'Happening',
    'make_unknown_stream',
    'render_unknown_stream',
    'render_unknown_streams',
    'SENTENCES',
    'SOMETHING_BY_ZONE',
    'UnknownEvent',
    'UnknownStream',
]
