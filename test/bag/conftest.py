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
