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

"""What the tests of the desk share: a browser."""

import pytest
from tools.browser import Browser, find_program


@pytest.fixture(scope='session')
def browser(tmp_path_factory):
    """Return a Browser for all tests of the page."""
    program = find_program()
    if program is None:
        pytest.skip('no chromium here')
    browser = Browser(program, tmp_path_factory.mktemp('profile'))
    yield browser
    browser.close()
