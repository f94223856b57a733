"""Start a narrator on a camera's images."""

from moss_ros.nodes.launching import (
    COMMON_ARGUMENTS, launch_description, NARRATOR_PARAMETERS, NodeStart,
)

ARGUMENTS = ('image', 'prompt_topic', *NARRATOR_PARAMETERS, *COMMON_ARGUMENTS)
NODES = (
    NodeStart('narrator', name='narrator',
              parameters={name: name for name in NARRATOR_PARAMETERS},
              remappings={'image': 'image', 'prompt': 'prompt_topic'}),
)


def generate_launch_description():
    """Return the narrator with its arguments."""
    return launch_description(ARGUMENTS, NODES)
