"""Surroundings of every test process: one CPU thread, and a ROS domain of its own."""

import os

# Before anything imports torch or rclpy. Domains 1 to 100 keep clear of the ephemeral ports.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
