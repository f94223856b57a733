"""Runs the command by `python -m moss_ros.bag`, as narrate_bag."""

import sys

from moss_ros.bag.command import main

sys.exit(main())
