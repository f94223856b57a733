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

"""Installation of the ament_python package moss_ros, also by colcon."""

from glob import glob
from pathlib import Path
import re

from setuptools import find_packages, setup

PACKAGE_NAME = 'moss_ros'


def requirements(name, only=None):
    """Return the requirements of a file in requirements/; only: names to choose from them."""
    # With --symlink-install colcon runs a link to this file, from a folder with little else.
    path = Path(__file__).resolve().parent / 'requirements' / f'{name}.txt'
    lines = path.read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and line[0] not in '#-'
            and (only is None or re.split('[=<>;[]', line)[0] in only)]


setup(
    name=PACKAGE_NAME,
    version='0.1.0',
    description='Real-time narration of a camera by a video-language model.',
    maintainer='moss_ros developers',
    maintainer_email='maintainers@moss-ros.org',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=[PACKAGE_NAME, f'{PACKAGE_NAME}.*']),
    package_data={
        f'{PACKAGE_NAME}.views': ['templates/*'],
        f'{PACKAGE_NAME}.training.card': ['templates/*'],
        f'{PACKAGE_NAME}.checkpoints': ['*/*.json', '*/*.safetensors'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE_NAME}']),
        (f'share/{PACKAGE_NAME}', ['package.xml']),
        (f'share/{PACKAGE_NAME}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE_NAME}/config', sorted(glob('config/*'))),
        (f'share/{PACKAGE_NAME}/deploy', sorted(glob('deploy/*'))),
    ],
    zip_safe=False,
    extras_require={
        # Bags, videos and pictures, without ROS: numpy and OpenCV come from apt elsewhere.
        'bag': [*requirements('runtime'),
                *requirements('ros', ('numpy', 'opencv-python-headless'))],
        # ROS 2 as wheels.
        'ros': [*requirements('runtime'), *requirements('ros')],
        'quantization': requirements('quantization'),
        'cluster': requirements('cluster'),
        # colcon test needs this one: with tests_require it would silently run no test.
        'test': ['pytest'],
    },
    entry_points={
        'console_scripts': [
            'bench_stream = moss_ros.benchmark.bench_stream:main',
            'console = moss_ros.nodes.console:main',
            'demo = moss_ros.nodes.demo:main',
            'demo_camera = moss_ros.nodes.demo_camera:main',
            'doctor = moss_ros.nodes.doctor:main',
            'describe = moss_ros.generator.describe:main',
            'desk = moss_ros.nodes.desk:main',
            'multi_camera = moss_ros.nodes.multi_camera:main',
            'narrate_bag = moss_ros.bag.command:main',
            'narrator = moss_ros.nodes.narrator:main',
        ],
    },
)
