"""Start a narrator on a camera's images."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare
from moss_ros.nodes.node_process import large_image_environment


def generate_launch_description():
    """Return the narrator with its arguments."""
    return LaunchDescription([
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution(
                [FindPackageShare('moss_ros'), 'config', 'narrator.yaml']),
            description='YAML file with the parameters of the narrator.'),
        DeclareLaunchArgument(
            'namespace', default_value='',
            description='Namespace of the node and its relative topics.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', choices=['true', 'false'],
            description='Take the time from /clock, as for a bag or a simulator.'),
        DeclareLaunchArgument(
            'image', default_value='image',
            description='Topic of the camera, such as /camera/image_raw.'),
        DeclareLaunchArgument(
            'prompt', default_value='prompt',
            description='Topic of the prompts.'),
        DeclareLaunchArgument(
            'log_level', default_value='info',
            description='Least severity that is logged: debug, info, warn or error.'),
        DeclareLaunchArgument(
            'large_images', default_value='true', choices=['true', 'false'],
            description='Shared memory and allocator for large images, unless set already.'),
        *[SetEnvironmentVariable(
            name, value, condition=IfCondition(LaunchConfiguration('large_images')))
          for name, value in large_image_environment(os.environ).items()],
        Node(
            package='moss_ros', executable='narrator', name='narrator',
            namespace=LaunchConfiguration('namespace'), output='screen', emulate_tty=True,
            parameters=[
                LaunchConfiguration('params_file'),
                {'use_sim_time': LaunchConfiguration('use_sim_time')},
            ],
            remappings=[
                ('image', LaunchConfiguration('image')),
                ('prompt', LaunchConfiguration('prompt')),
            ],
            arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')]),
    ])
