"""Start a narrator for each of several cameras, all in one process on one model."""

from moss_ros.nodes.launching import (
    COMMON_ARGUMENTS, launch_description, NARRATOR_PARAMETERS, NodeStart,
)

ARGUMENTS = ('cameras', 'image', 'prompt_topic', *NARRATOR_PARAMETERS, *COMMON_ARGUMENTS)
NODES = (
    # Without a name: it would become that of each narrator.
    NodeStart('multi_camera',
              parameters={name: name for name in ('cameras', *NARRATOR_PARAMETERS)},
              remappings={'image': 'image', 'prompt': 'prompt_topic'}),
)


def generate_launch_description():
    """Return the process of all narrators with its arguments."""
    return launch_description(ARGUMENTS, NODES)
