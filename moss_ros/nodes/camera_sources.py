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
What the demo camera shows: a painted or an unknown scene, a video file, a camera of this machine.

CameraSettings go in, a Source comes out: pictures by the time, and what truly happens where that
is known. Made by the demo camera; nothing here publishes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
from moss_ros.media import CameraDevice, device_path, LoopedVideo, MediaError
from moss_ros.settings import CameraSettings
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
from rclpy.exceptions import InvalidParameterValueException

# What ended longer ago is forgotten, so that a scene may run for days.
MEMORY_S = 60.0


@dataclass(frozen=True)
class Truth:
    """What truly happens at time_s, seconds since the first picture; kind: in one or two words."""

    time_s: float
    kind: str
    sentence: str


class Source(Protocol):
    """
    Shows something; one thread at a time.

    name: what it is, in words. is_known: a scene whose truth and whose camera are known. trouble:
    what the user should know; '' if all is well.
    """

    name: str
    is_known: bool
    trouble: str

    def picture_at(self, time_s: float) -> np.ndarray | None:
        """
        Return the picture u8 [H, W, 3] RGB at time_s, None where there is no new one.

        time_s: seconds since the first picture. Raises MediaError where no picture will come.
        """

    def events_between(self, start_s: float, end_s: float) -> Sequence[Truth]:
        """Return what truly happens with start_s <= time_s < end_s."""

    def close(self) -> None:
        """Let go of files and devices; may be called twice."""


def make_source(settings: CameraSettings) -> Source:
    """Return what settings name; what rclpy raises for a parameter where that cannot be shown."""
    if settings.video and settings.device >= 0:
        raise InvalidParameterValueException(
            'device', settings.device, 'a video is named too; name one of them')
    try:
        if settings.video:
            return _VideoSource(settings)
        if settings.device >= 0:
            return _DeviceSource(settings)
    except MediaError as error:
        name = 'video' if settings.video else 'device'
        raise InvalidParameterValueException(
            name, getattr(settings, name), str(error)) from error
    return _UnknownSource(settings) if settings.scene == 'unknown' else _PaintedSource(settings)


class _SceneSource:
    is_known = True
    trouble = ''

    def __init__(self, settings):
        self.name = (f'scene {settings.seed} ({settings.scene}), '
                     f'{settings.width}x{settings.height} px')

    def close(self):
        pass


class _PaintedSource(_SceneSource):
    def __init__(self, settings):
        super().__init__(settings)
        self._scene = Scene(settings.seed, static=settings.scene == 'static')
        self._renderer = SceneRenderer(self._scene, settings.width, settings.height)

    def picture_at(self, time_s):
        return self._renderer.render(time_s)

    def events_between(self, start_s, end_s):
        events = [Truth(event.time_s, event.kind.value, event.sentence)
                  for event in self._scene.events_between(start_s, end_s)]
        self._scene.forget_before(end_s - MEMORY_S)
        return events


class _UnknownSource(_SceneSource):
    def __init__(self, settings):
        super().__init__(settings)
        # Imported only here: it loads PyTorch, for which the other sources need not wait.
        from moss_ros.training.unknown.endless_film import EndlessFilm
        self._film = EndlessFilm(settings.seed, settings.width, settings.height)

    def picture_at(self, time_s):
        return self._film.picture_at(time_s)

    def events_between(self, start_s, end_s):
        return [Truth(event.time_s, event.kind, event.sentence)
                for event in self._film.events_between(start_s, end_s)]


class _RealSource:
    """Pictures of the world, of which nothing is known; none is larger than the settings say."""

    is_known = False
    trouble = ''

    def __init__(self, settings):
        self._most_px = settings.width, settings.height

    def events_between(self, _start_s, _end_s):
        return ()

    def _fitted(self, picture):
        if picture is None:
            return None
        height_px, width_px = picture.shape[:2]
        scale = min(self._most_px[0] / width_px, self._most_px[1] / height_px)
        if scale >= 1:
            return picture
        size_px = max(1, round(scale * width_px)), max(1, round(scale * height_px))
        return cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA)


class _VideoSource(_RealSource):
    def __init__(self, settings):
        super().__init__(settings)
        self.name = f'the video {settings.video}'
        self._video = LoopedVideo(settings.video, settings.rate)

    def picture_at(self, time_s):
        picture = self._video.picture_at(time_s)
        if self._video.is_slow:
            self.trouble = (f'{self.name} is decoded more slowly than it plays, and is shown more '
                            'slowly; take a smaller one')
        return self._fitted(picture)

    def close(self):
        self._video.close()


class _DeviceSource(_RealSource):
    def __init__(self, settings):
        super().__init__(settings)
        path = device_path(settings.device)
        self.name = f'the camera {path}'
        self._device = CameraDevice(path)

    def picture_at(self, _time_s):
        return self._fitted(self._device.newest())

    def close(self):
        self._device.close()
