"""Message types of recordings that are read or written, and their definitions."""

from rosbags.typesys import get_typestore, Stores

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
STRING_TYPE = 'std_msgs/msg/String'
# These three types are the same in every distribution from Foxy on, and but for the number in its
# header in ROS 1, whether or not a bag brings their definitions; what else is in a bag need not be
# understood.
TYPESTORE = get_typestore(Stores.ROS2_JAZZY)
