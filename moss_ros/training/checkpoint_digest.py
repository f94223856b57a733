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
A short digest that tells one checkpoint of the embedded model from another.

A folder goes in, twelve digits come out. Used by the model card, and by a training that goes on
from a checkpoint.
"""

import hashlib
from pathlib import Path

CHECKPOINT_FILES = ('config.json', 'model.safetensors', 'tokenizer.json')


def checkpoint_digest(folder: Path) -> str:
    """Return twelve digits that tell the files of one checkpoint from those of another."""
    digest = hashlib.sha256()
    for name in CHECKPOINT_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]
