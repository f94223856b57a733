"""MOSS-Video-Preview for ROS 2: a camera is narrated live, and questions are answered."""

__all__ = ['load_generator']


def __getattr__(name):
    # Loaded when it is used: whoever imports one part of the package pays for no other.
    if name == 'load_generator':
        from moss_ros.generator import load_generator
        return load_generator
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
