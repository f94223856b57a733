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

"""The Foxglove layout against the topics of the nodes, their types and fields."""

import importlib
import json
from pathlib import Path

import pytest
from test_readme import written_topics

LAYOUT = json.loads((Path(__file__).resolve().parents[1] / 'config' / 'foxglove_layout.json')
                    .read_text(encoding='utf-8'))
PANELS = LAYOUT['configById']
# What the client library of every node publishes.
LOG = {'/rosout': 'rcl_interfaces/Log'}
TYPES_BY_PANEL = {
    'Image': {'sensor_msgs/Image', 'sensor_msgs/CompressedImage'},
    'DiagnosticSummary': {'diagnostic_msgs/DiagnosticArray'},
    'RosOut': {'rcl_interfaces/Log'},
}


def types_by_topic():
    """Return the topics that a narrator has without remapping, with their types."""
    found = dict(LOG)
    for node, topic, _, message_type in written_topics():
        if topic.startswith('~/'):
            topic = f'/{node}/{topic[2:]}'
        elif not topic.startswith('/'):
            topic = f'/{topic}'
        found[topic] = message_type
    return found


def message_class(type_name):
    package, _, name = type_name.replace('/msg/', '/').partition('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)


def paths(panel):
    """Return every topic that a panel is about, with the fields after it."""
    found = [panel.get(key) for key in ('topicPath', 'path', 'topicToRender', 'topicName')]
    found.append(panel.get('imageMode', {}).get('imageTopic'))
    found += [item['value'] for item in panel.get('paths', ())]
    return [path for path in found if path]


def leaves(node):
    """Return the panels that are placed in a part of the layout."""
    if isinstance(node, str):
        return [node]
    assert node['direction'] in ('row', 'column')
    assert 0 < node['splitPercentage'] < 100
    return leaves(node['first']) + leaves(node['second'])


def test_every_panel_is_placed_once():
    assert sorted(leaves(LAYOUT['layout'])) == sorted(PANELS)


@pytest.mark.parametrize('name', PANELS)
def test_panels_are_about_topics_that_exist(name):
    types = types_by_topic()
    found = paths(PANELS[name])
    assert found
    for path in found:
        topic, *fields = path.split('.')
        assert topic in types
        kind = name.partition('!')[0]
        assert types[topic] in TYPES_BY_PANEL.get(kind, {types[topic]})
        for field in fields:
            assert field in message_class(types[topic]).get_fields_and_field_types()


def test_the_prompt_box_publishes_a_message_of_the_topics_type():
    panel = PANELS['Publish!prompt']
    expected = types_by_topic()[panel['topicName']]
    assert panel['datatype'] == expected.replace('/', '/msg/')
    message = message_class(expected)(**json.loads(panel['value']))
    assert message.data.endswith('?')


def test_the_indicator_knows_both_states():
    rules = {rule['rawValue']: rule['label'] for rule in PANELS['Indicator!silence']['rules']}
    assert rules == {'true': 'silent', 'false': 'speaking'}
