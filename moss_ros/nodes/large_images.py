"""
Settings of a process that sends or receives large images, as environment variables.

The environment goes in, what is to be added to it comes out. Knows no node. Called by the launch
files, the demo and the benchmark of the transport, before they start a node's process.
"""

from collections.abc import Mapping
from pathlib import Path

PACKAGE_NAME = 'moss_ros'
_PROFILE = Path('config', 'fastdds_large_images.xml')
# Either of them names the profiles of Fast DDS; the second is what it was called before.
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
# Blocks below 1 GiB are kept for the next image: fetching fresh memory from the system for each
# one costs more than all else.
_ALLOCATOR_BYTES = str(2 ** 30)
_ALLOCATOR_VARIABLES = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')


def profile_path() -> Path:
    """Return the Fast DDS profile, of the source tree or of the installed package."""
    path = Path(__file__).resolve().parents[2] / _PROFILE
    if not path.is_file():
        # Not needed in the source tree, where it may not be there either.
        from ament_index_python.packages import get_package_share_directory
        path = Path(get_package_share_directory(PACKAGE_NAME)) / _PROFILE
    return path


def large_image_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to environment; nothing that is set there is among them."""
    wanted = dict.fromkeys(_ALLOCATOR_VARIABLES, _ALLOCATOR_BYTES)
    if not any(name in environment for name in _PROFILE_VARIABLES):
        wanted[_PROFILE_VARIABLES[0]] = str(profile_path())
    return {name: value for name, value in wanted.items() if name not in environment}
