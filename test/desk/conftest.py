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
