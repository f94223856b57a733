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

"""
Whether a question that is published reaches a narrator, or only who else listens to its topic.

A publisher of prompts goes in, a yes or no comes out. Used by the console and the desk, so that
a question waits for the narrator while a recorder listens already. PROMPT_QOS is how they travel.
"""

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile

# Of several that come at once none is to be lost, also while the narrator is busy.
PROMPT_QOS = QoSProfile(depth=100)


def reaches_narrator(node: Node, prompts: Publisher, events_topic: str) -> bool:
    """
    Return whether a node that publishes events_topic, by its full name, hears prompts.

    Not before all that may hear prompts are connected: only how many are is known, not who.
    """
    narrators = {(info.node_namespace, info.node_name)
                 for info in node.get_publishers_info_by_topic(events_topic)}
    # Who wants what was published before it came is never connected: prompts are not kept.
    listeners = [(info.node_namespace, info.node_name)
                 for info in node.get_subscriptions_info_by_topic(prompts.topic_name)
                 if info.qos_profile.durability is not DurabilityPolicy.TRANSIENT_LOCAL]
    return not narrators.isdisjoint(listeners) \
        and prompts.get_subscription_count() >= len(listeners)
