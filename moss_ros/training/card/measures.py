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
All that is measured for the model card, part by part.

A checkpoint and what to measure it on go in; a dictionary of plain data comes out, which is
written as JSON beside the page. Each part is measured by itself, so that one can be measured
again. Called by the program of the model card.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
import json
from pathlib import Path

from moss_ros.generator import load_generator
from moss_ros.training.card.real_pictures import describe_stills, narrate_clip, watch_still
from moss_ros.training.checkpoint_digest import checkpoint_digest, CHECKPOINT_FILES
from moss_ros.training.evaluation import Evaluator
from moss_ros.training.fresh_streams import Conditions, named_photographs, WORLDS
from moss_ros.training.robustness import measure_robustness
from moss_ros.training.train import FINISH_RECIPE, LONG_RECIPE, Recipe, RECIPE


@dataclass(frozen=True)
class Extent:
    """How much is measured: numbers of scenes, and of frames of each."""

    painted: tuple[int, int] = (500, 60)
    long: tuple[int, int] = (5, 3000)
    unknown: tuple[int, int] = (150, 60)
    other_renderer: tuple[int, int] = (100, 60)
    unseen_wordings: tuple[int, int] = (200, 60)
    robustness: tuple[int, int] = (20, 60)
    still_frames: int = 1200

    def scaled(self, scale: float) -> 'Extent':
        """Return the same with scale times the scenes and frames of stills, at least one."""
        scenes = {name: (max(1, round(getattr(self, name)[0] * scale)), getattr(self, name)[1])
                  for name in ('painted', 'long', 'unknown', 'other_renderer', 'unseen_wordings',
                               'robustness')}
        return Extent(**scenes, still_frames=max(1, round(self.still_frames * scale)))


QUICK = Extent((4, 40), (1, 120), (3, 40), (3, 40), (4, 40), (1, 24), 20)


@dataclass(frozen=True)
class Sources:
    """
    What the figures are made of; None for what there is not.

    photographs, clips: folders. renderer: as of Conditions. training_log: what the training of
    the checkpoint printed.
    """

    checkpoint: Path
    photographs: Path | None = None
    clips: Path | None = None
    renderer: Path | None = None
    training_log: Path | None = None


class Measures:
    """
    Measures parts by their names, those of PARTS. One thread at a time.

    seed: as of Conditions. report: called with one line for each thing done.
    """

    def __init__(self, evaluator: Evaluator, sources: Sources, extent: Extent, seed: int,
                 report: Callable[[str], None]):
        self._evaluator = evaluator
        self._sources = sources
        self._extent = extent
        self._seed = seed
        self._report = report
        # Whatever cannot be measured is refused before anything is.
        self._photographs = (
            named_photographs(sources.photographs) if sources.photographs else {})
        self._clips = clips_in(sources.clips) if sources.clips else None
        self._run = read_training_log(sources.training_log) if sources.training_log else None
        for scenes in (extent.painted, extent.long, extent.unknown, extent.other_renderer,
                       extent.unseen_wordings, extent.robustness):
            self._conditions(scenes, renderer=sources.renderer)

    def measure(self, part: str):
        """Return the figures of one part, plain data; None where there is nothing to measure."""
        return PARTS[part](self)

    def checkpoint(self) -> dict:
        """Return what is known of the checkpoint's files."""
        session = self._evaluator.session
        model, options = session.model, session.options
        return {
            'digest': checkpoint_digest(self._sources.checkpoint),
            'num_parameters': sum(value.numel() for value in model.parameters()),
            'size_mb': round(sum((self._sources.checkpoint / name).stat().st_size
                                 for name in CHECKPOINT_FILES) / 1e6, 2),
            'frame_rate_fps': options.frame_rate_fps,
            'image_size_px': model.config.vision.image_size,
            'sees_frame_before': model.config.vision.sees_frame_before,
            'max_context_frames': options.max_context_frames}

    def training(self) -> dict:
        """Return the numbers of the program's recipes, and what the training printed."""
        return {'recipe': _numbers_of(RECIPE), 'long_recipe': _numbers_of(LONG_RECIPE),
                'finish_recipe': _numbers_of(FINISH_RECIPE),
                'run': self._run}

    def painted(self) -> dict:
        """Return the figures of the painted world, asked in a wide spread of questions."""
        return self._figures(self._conditions(self._extent.painted, questions='wide'))

    def painted_long(self) -> dict:
        """Return those of long streams."""
        return self._figures(self._conditions(self._extent.long, questions='wide'))

    def unseen_wordings(self) -> dict:
        """Return by world the figures of streams that are asked in wordings of no training."""
        return {world: self._figures(self._conditions(
            self._extent.unseen_wordings, world=world, questions='unseen'))
            for world in WORLDS}

    def other_renderer(self) -> dict | None:
        """Return those of another renderer, and of the package's own on the same scenes."""
        if self._sources.renderer is None:
            return None
        own = self._conditions(self._extent.other_renderer, questions='wide')
        other = replace(own, renderer=self._sources.renderer)
        found = {'own': self._figures(own), 'other': self._figures(other)}
        if self._photographs:
            found['photographs'] = self._figures(
                replace(other, photographs=list(self._photographs.values())))
        return found

    def unknown(self) -> dict:
        """Return the figures of the unknown world as it is made up."""
        return self._figures(
            self._conditions(self._extent.unknown, world='unknown', questions='wide'))

    def unknown_photographs(self) -> dict | None:
        """Return those of the unknown world made of photographs."""
        if not self._photographs:
            return None
        return self._figures(self._conditions(
            self._extent.unknown, world='unknown', questions='wide',
            photographs=list(self._photographs.values())))

    def stills(self) -> dict | None:
        """Return what is said of photographs that are shown still, and answered about them."""
        if not self._photographs:
            return None
        watched = self._evaluator.map(watch_still, [
            (name, photograph, self._extent.still_frames)
            for name, photograph in self._photographs.items()])
        self._report(f'{len(watched)} still photographs watched')
        folder = self._sources.photographs
        return {'watched': watched, 'described': describe_stills(
            load_generator(str(self._sources.checkpoint), 'cpu', 'float32', 'auto', None),
            [folder / name for name in self._photographs])}

    def robustness(self) -> dict:
        """Return figures by disturbance and world; the unknown one of photographs if there are."""
        conditions = self._conditions(self._extent.robustness, questions='wide')
        if self._photographs:
            conditions = replace(conditions, world='unknown',
                                 photographs=list(self._photographs.values()))
        return measure_robustness(
            self._evaluator, conditions, ('painted', 'unknown'), self._report)

    def clips(self) -> list | None:
        """Return what is said of each video clip."""
        return None if self._clips is None else self._evaluator.map(narrate_clip, self._clips)

    def _conditions(self, extent, **others):
        return Conditions(*extent, self._seed, **others)

    def _figures(self, conditions):
        figures = self._evaluator.figures(conditions)
        self._report(
            f'{conditions.world}, {conditions.num_scenes} x {conditions.num_frames}: events '
            f'{figures["event_recall"]:.3f}, sentences {figures["sentence_precision"]:.3f}, '
            f'{figures["cpu_s"]:.0f} CPU s')
        return figures


# In the order in which they are measured.
PARTS = {name: getattr(Measures, name) for name in (
    'checkpoint', 'training', 'painted', 'painted_long', 'unknown', 'unknown_photographs',
    'unseen_wordings', 'stills', 'clips', 'other_renderer', 'robustness')}


def _numbers_of(recipe: Recipe) -> dict[str, str]:
    """
    Return the numbers of a recipe by their names, those within others with a dot.

    Those of the phases are in their order, and one where they have the same.
    """
    numbers = asdict(recipe)
    by_phase = [dict(_flat('course.phases', phase)) for phase in numbers['course'].pop('phases')]
    found = dict(_flat('', numbers))
    for name in dict.fromkeys(name for phase in by_phase for name in phase):
        values = [phase.get(name, '-') for phase in by_phase]
        found[name] = ', '.join(values if len(set(values)) > 1 else values[:1])
    return found


def _flat(name, value):
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f'{name}.{key}' if name else key, inner)
    elif isinstance(value, (list, tuple)):
        yield name, ', '.join(map(str, value))
    else:
        yield name, str(value)


def clips_in(folder: Path) -> list[Path]:
    """Return the video clips in a folder, by name; ValueError where there are none."""
    files = sorted(file for file in folder.iterdir()
                   if file.suffix.lower() in ('.mp4', '.mkv', '.avi', '.mov', '.webm'))
    if not files:
        raise ValueError(f'{folder} holds no video clips')
    return files


def read_training_log(file: Path) -> dict:
    """
    Return what a training printed: its seconds, and of each stage its seconds and last line.

    Raises ValueError where a line is no report of the training program.
    """
    stages: dict[str, dict] = {}
    last_s = 0
    for number, line in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
        if not line.startswith('{'):
            continue
        try:
            report = json.loads(line)
            last_s, stage, seconds = report.pop('t_s'), report.pop('stage'), report.pop('stage_s')
        except (ValueError, KeyError) as error:
            raise ValueError(f'{file}, line {number} is no report of the training: '
                             f'{line[:60]!r}') from error
        stages[stage] = {'seconds': seconds, **report}
    if not stages:
        raise ValueError(f'{file} holds no report of a training')
    return {'seconds': last_s, 'stages': stages}
