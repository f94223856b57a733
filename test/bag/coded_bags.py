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

"""Makes bags of coded video for tests, in every kind of message that carries it."""

from bag_making import COMPRESSED, header, IMAGE_TOPIC, stamp, START_NS
from moss_ros.bag.ros_types import FFMPEG_TYPE, FOXGLOVE_TYPE, TYPESTORE
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from video_packets import FPS

# So long after its picture was taken a packet is recorded.
DELAY_NS = 40_000_000
MESSAGE_TYPES = (COMPRESSED, FOXGLOVE_TYPE, FFMPEG_TYPE)


def stamp_ns_of(packet, fps=FPS):
    return START_NS + packet.picture * 10**9 // fps


def packet_message(message_type, packet, codec, stamp_ns):
    """Return the serialised message of a VideoPacket."""
    data = np.frombuffer(packet.data, np.uint8)
    if message_type == COMPRESSED:
        fields = {'header': header(stamp_ns), 'format': codec, 'data': data}
    elif message_type == FOXGLOVE_TYPE:
        fields = {'timestamp': stamp(stamp_ns), 'frame_id': 'camera', 'data': data,
                  'format': codec}
    else:
        fields = {'header': header(stamp_ns), 'width': 96, 'height': 72, 'encoding': codec,
                  'pts': packet.picture, 'flags': 0, 'is_bigendian': False, 'data': data}
    return TYPESTORE.serialize_cdr(TYPESTORE.types[message_type](**fields), message_type)


def coded_messages(packets, codec='h264', message_type=COMPRESSED, fps=FPS):
    """Return (topic, type, time in ns, serialised message) of packets in their order."""
    newest_ns = 0
    messages = []
    for packet in packets:
        stamp_ns = stamp_ns_of(packet, fps)
        newest_ns = max(newest_ns + 1000, stamp_ns + DELAY_NS)
        messages.append((IMAGE_TOPIC, message_type, newest_ns,
                         packet_message(message_type, packet, codec, stamp_ns)))
    return messages


def write_coded_bag(path, messages, storage='mcap', has_definitions=True):
    """Write a bag folder; without definitions as a recorder does that does not find them."""
    with Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections = {}
        for topic, message_type, time_ns, content in messages:
            if topic not in connections:
                how = ({'typestore': TYPESTORE} if has_definitions
                       else {'msgdef': ' ', 'rihs01': ' '})
                connections[topic] = writer.add_connection(topic, message_type, **how)
            writer.write(connections[topic], time_ns, content)
    return path
