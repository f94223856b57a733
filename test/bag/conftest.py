"""What the tests of bags share: a bag of a rendered scene."""

from bag_making import make_scene_bag
import pytest


@pytest.fixture(scope='session')
def scene_bag(tmp_path_factory):
    """Return an MCAP bag of 40 s with JPEG pictures, and a prompt in it."""
    return make_scene_bag(
        tmp_path_factory.mktemp('bags') / 'scene', 71, 40.0, (12.0, 'What do you see?'),
        is_compressed=True)
