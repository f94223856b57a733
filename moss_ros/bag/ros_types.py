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

"""Message types of recordings that are read or written, and their definitions."""

from rosbags.typesys import get_types_from_msg, get_typestore, Stores

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
STRING_TYPE = 'std_msgs/msg/String'
FOXGLOVE_TYPE = 'foxglove_msgs/msg/CompressedVideo'
FFMPEG_TYPE = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
# Types whose messages are packets of coded video, whatever they say.
VIDEO_TYPES = (FOXGLOVE_TYPE, FFMPEG_TYPE)
# The first three types are the same in every distribution from Foxy on, and but for the number in
# their headers in ROS 1, whether or not a bag brings their definitions; what else is in a bag need
# not be understood.
TYPESTORE = get_typestore(Stores.ROS2_JAZZY)
# These two come with packages of their own, and not with every bag that has such messages.
TYPESTORE.register({
    **get_types_from_msg("""
builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
""", FOXGLOVE_TYPE),
    **get_types_from_msg("""
std_msgs/Header header
int32 width
int32 height
string encoding
uint64 pts
uint8 flags
bool is_bigendian
uint8[] data
""", FFMPEG_TYPE)})
