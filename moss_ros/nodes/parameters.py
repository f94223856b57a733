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
Declares the tables of settings.py as ROS parameters, and reads them back as one object.

Bad values are refused with the reason. Called by the nodes on the executor's thread.
"""

from moss_ros.settings import refusal, rows
from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult,
)


def declare_settings(node, settings_class) -> None:
    """
    Declare every parameter of settings_class on node, checked now and at every later change.

    Values given at the start that are not allowed raise what rclpy raises for them
    (InvalidParameterValueException or InvalidParameterTypeException), with the reason.
    """
    table = rows(settings_class)

    def check_all(parameters):
        for item in parameters:
            if item.name in table:
                reason = refusal(item.name, table[item.name], item.value)
                if reason:
                    return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    # First the check, so that it sees the values given at the start as well.
    node.add_on_set_parameters_callback(check_all)
    for name, row in table.items():
        node.declare_parameter(name, getattr(settings_class, name), _descriptor(row))


def read_settings(node, settings_class):
    """Return a settings_class with the values that node's parameters have now."""
    return settings_class(**{
        name: node.get_parameter(name).value for name in rows(settings_class)})


def _descriptor(row):
    descriptor = ParameterDescriptor(
        description=row.description, read_only=not row.is_live,
        additional_constraints=', '.join(row.choices) or row.pattern_text)
    if isinstance(row.minimum, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=row.minimum, to_value=row.maximum)]
    elif row.minimum is not None:
        descriptor.integer_range = [
            IntegerRange(from_value=row.minimum, to_value=row.maximum)]
    return descriptor
