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
What can go wrong with a bag or its outputs: one error class and the exit codes.

The text of an error is one line that begins with the path. Raised everywhere in this package;
shown by the command line and on the index page of many bags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
import traceback

UNEXPECTED_FILE = 'unexpected_error.txt'


class ExitCode(IntEnum):
    """How the command narrate_bag ends."""

    OK = 0
    FAILED = 1  # something unexpected, or its worker process died
    USAGE = 2  # bad options; the same status as argparse's own
    SOURCE = 3  # the bag can't be read at all
    INCOMPLETE = 4  # it broke in the middle; what came before is narrated
    OUTPUT = 5  # the outputs can't be written
    RESUME = 6  # the output holds a run already, or not the run that is to be resumed
    MODEL = 7  # no such checkpoint, or not enough memory for it
    INTERRUPTED = 130  # what a shell reports after Ctrl-C


class BagError(Exception):
    """
    A bag can't be narrated, or not to the end; the text is one line and begins with the path.

    - path: of the bag, the output folder or the file that is at fault.
    - exit_code: what kind of trouble it is.
    """

    def __init__(self, path: Path | str, text: str, exit_code: ExitCode = ExitCode.SOURCE):
        super().__init__(f'{path}: {" ".join(text.split())}')
        self.path = Path(path)
        self.text = ' '.join(text.split())
        self.exit_code = exit_code

    def __reduce__(self):
        # Errors of worker processes travel to the one that collects them.
        return BagError, (self.path, self.text, self.exit_code)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError, such as of a full disk, into a BagError about path or the file at fault."""
    try:
        yield
    except OSError as error:
        raise BagError(
            error.filename if isinstance(error.filename, str) else path,
            f'cannot be written ({error.strerror or error}); free space or mend the permissions, '
            'then go on with --resume', ExitCode.OUTPUT) from error


def unexpected(source: Path, output: Path, error: Exception) -> BagError:
    """
    Return the BagError (FAILED) of an exception that nobody foresaw, to be called while it is up.

    Its traceback, which is of use to whoever mends it only, goes into the folder output.
    """
    kept = 'with the steps that led to it'
    with suppress(OSError):
        output.mkdir(parents=True, exist_ok=True)
        (output / UNEXPECTED_FILE).write_text(
            traceback.format_exc(), encoding='utf-8', errors='backslashreplace')
        kept = f'with {output / UNEXPECTED_FILE}'
    return BagError(source, f'something unexpected happened: {error!r}; please report it {kept}',
                    ExitCode.FAILED)
