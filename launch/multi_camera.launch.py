"""Start a narrator for each of several cameras, all in one process on one model."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from moss_ros.nodes.node_process import large_image_environment


def generate_launch_description():
    """Return the process of all narrators with its arguments."""
    return LaunchDescription([
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution(
                [FindPackageShare('moss_ros'), 'config', 'multi_camera.yaml']),
            description='YAML file with the parameters of the narrators.'),
        DeclareLaunchArgument(
            'cameras', default_value='front,rear',
            description='Namespaces of the cameras and their narrators, separated by commas.'),
        DeclareLaunchArgument(
            'namespace', default_value='',
            description='Namespace around those of the cameras.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', choices=['true', 'false'],
            description='Take the time from /clock, as for a bag or a simulator.'),
        DeclareLaunchArgument(
            'image', default_value='image',
            description='Topic of each camera within its namespace, such as camera/image_raw.'),
        DeclareLaunchArgument(
            'prompt', default_value='prompt',
            description='Topic of the prompts: within each namespace, or one such as /prompt.'),
        DeclareLaunchArgument(
            'log_level', default_value='info',
            description='Least severity that is logged: debug, info, warn or error.'),
        DeclareLaunchArgument(
            'large_images', default_value='true', choices=['true', 'false'],
            description='Shared memory and allocator for large images, unless set already.'),
        *[SetEnvironmentVariable(
            name, value, condition=IfCondition(LaunchConfiguration('large_images')))
          for name, value in large_image_environment(os.environ).items()],
        # Without a name: it would become that of each narrator.
        Node(
            package='moss_ros', executable='multi_camera',
            namespace=LaunchConfiguration('namespace'), output='screen', emulate_tty=True,
            parameters=[
                LaunchConfiguration('params_file'),
                {
                    'use_sim_time': LaunchConfiguration('use_sim_time'),
                    'cameras': ParameterValue(LaunchConfiguration('cameras'), value_type=str),
                },
            ],
            remappings=[
                ('image', LaunchConfiguration('image')),
                ('prompt', LaunchConfiguration('prompt')),
            ],
            arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')]),
    ])
