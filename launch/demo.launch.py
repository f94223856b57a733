"""Start the demo camera and a narrator on it."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare
from moss_ros.nodes.node_process import large_image_environment


def generate_launch_description():
    """Return camera and narrator with their arguments; the console needs a terminal of its own."""
    params_file = LaunchConfiguration('params_file')
    namespace = LaunchConfiguration('namespace')
    use_sim_time = {'use_sim_time': LaunchConfiguration('use_sim_time')}
    return LaunchDescription([
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution(
                [FindPackageShare('moss_ros'), 'config', 'demo.yaml']),
            description='YAML file with the parameters of camera and narrator.'),
        DeclareLaunchArgument(
            'namespace', default_value='',
            description='Namespace of the nodes and their relative topics.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', choices=['true', 'false'],
            description='Take the time from /clock.'),
        DeclareLaunchArgument(
            'seed', default_value='1',
            description='Which scene the camera shows.'),
        DeclareLaunchArgument(
            'large_images', default_value='true', choices=['true', 'false'],
            description='Shared memory and allocator for large images, unless set already.'),
        *[SetEnvironmentVariable(
            name, value, condition=IfCondition(LaunchConfiguration('large_images')))
          for name, value in large_image_environment(os.environ).items()],
        Node(
            package='moss_ros', executable='demo_camera', name='demo_camera',
            namespace=namespace, output='screen', emulate_tty=True,
            parameters=[params_file, use_sim_time, {'seed': LaunchConfiguration('seed')}]),
        Node(
            package='moss_ros', executable='narrator', name='narrator',
            namespace=namespace, output='screen', emulate_tty=True,
            parameters=[params_file, use_sim_time],
            remappings=[('image', 'image_raw')]),
    ])
