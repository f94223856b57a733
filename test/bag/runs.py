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

"""What the tests of whole runs share: their options, and what is in an output folder."""

import hashlib
import json

from moss_ros.bag import BagError, ExitCode, narrate_bag, NarrateOptions

OUTPUTS = ['narration.jsonl', 'narration.mcap', 'narration.vtt', 'report.html', 'run.json']
OPTIONS = NarrateOptions(prompt_topic='prompt', seed=7, sampling='random', with_images=True)


def hashes(folder):
    """Return the hash of every file in a folder; there is to be nothing else in it."""
    assert all(path.is_file() for path in folder.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir())}


def narrate_in_parts(source, output, options):
    """Narrate with an interruption at every group of frames; return how each part ended."""
    codes = []
    while not codes or codes[-1] is ExitCode.INTERRUPTED:
        asked = []
        try:
            narrate_bag(source, output, options, resume=True,
                        should_stop=lambda: bool(asked.append(None)) or len(asked) > 1)
            codes.append(ExitCode.OK)
        except BagError as error:
            codes.append(error.exit_code)
    return codes


def records_of(output, *kinds):
    lines = (output / 'narration.jsonl').read_text(encoding='utf-8').splitlines()
    records = [json.loads(line) for line in lines]
    return [record for record in records if not kinds or record['type'] in kinds]
