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
Watch a video as if it were a camera: images in, narration out, a question at any time.

The calls and the consumer are those of the model's published live script; only the loading line
is this package's. Run it as `python -m examples.live_streaming VIDEO --prompt 'What do you see?'`.
"""

import argparse
import queue
import threading
import time

import av
from moss_ros import load_generator

END_MARKERS = ('<|round_end|>', '[DONE]', '[ERROR]')
# Without any token for so long, the consumer takes the stream for ended.
PATIENCE_S = 5.0


def feed(video, fps, interval_s, image_queue, is_watched):
    """Put fps frames of each second of the video on the queue, one every interval_s."""
    with av.open(video) as container:
        next_s = 0.0
        for frame in container.decode(video=0):
            if not is_watched():
                return
            if frame.time is not None and frame.time < next_s:
                continue
            image_queue.put(frame.to_image())
            next_s += 1.0 / fps
            time.sleep(interval_s)


def consume(token_queue):
    """Print what comes, holding back one piece, until an end marker or too long a pause."""
    held, is_silent = '', False
    while True:
        try:
            piece = token_queue.get(timeout=PATIENCE_S)
        except queue.Empty:
            break
        if '<|round_start|>' in piece:
            held, is_silent = '', False
        elif any(marker in piece for marker in END_MARKERS):
            print(held, end='', flush=True)
            if '[ERROR]' in piece:
                print(f'\n{piece}', flush=True)
            break
        elif '<|silence|>' in piece:
            # Text may share a string with the silence after it.
            print(held + piece.replace('<|silence|>', ''), end='', flush=True)
            if not is_silent:
                print('\n[Silence / Observing]', flush=True)
            held, is_silent = '', True
        else:
            print(held, end='', flush=True)
            held, is_silent = piece, False
    print(flush=True)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('video')
    parser.add_argument('--prompt', default='', help='asked at the beginning')
    parser.add_argument('--checkpoint', help='default: the embedded model')
    parser.add_argument('--fps', type=float, default=1.0, help='frames of a second of video')
    parser.add_argument('--interval', type=float, help='seconds between two (default: as filmed)')
    arguments = parser.parse_args()
    interval_s = 1.0 / arguments.fps if arguments.interval is None else arguments.interval

    model = load_generator(arguments.checkpoint)
    processor = model.processor

    image_queue, prompt_queue, token_queue = queue.Queue(), queue.Queue(), queue.Queue()
    if arguments.prompt:
        prompt_queue.put(arguments.prompt)
    generation = threading.Thread(
        target=model.real_time_generate,
        args=(image_queue, prompt_queue, token_queue, processor),
        kwargs={'max_new_tokens': 256, 'do_sample': False, 'repetition_penalty': 1.0},
        daemon=True)
    generation.start()
    consumer = threading.Thread(target=consume, args=(token_queue,))
    consumer.start()
    feed(arguments.video, arguments.fps, interval_s, image_queue, consumer.is_alive)
    consumer.join()
    if hasattr(model, 'stop_real_time_generate'):
        model.stop_real_time_generate()
    generation.join()


if __name__ == '__main__':
    main()
