"""Start the demo camera and a narrator on it."""

from moss_ros.nodes.launching import (
    COMMON_ARGUMENTS, launch_description, NARRATOR_PARAMETERS, NodeStart,
)

ARGUMENTS = ('seed', 'prompt_topic', *NARRATOR_PARAMETERS, *COMMON_ARGUMENTS)
NODES = (
    NodeStart('demo_camera', name='demo_camera', parameters={'seed': 'seed'}),
    NodeStart('narrator', name='narrator',
              parameters={name: name for name in NARRATOR_PARAMETERS},
              remappings={'image': '=image_raw', 'prompt': 'prompt_topic'}),
)


def generate_launch_description():
    """Return camera and narrator with their arguments; the console needs a terminal of its own."""
    return launch_description(ARGUMENTS, NODES)
