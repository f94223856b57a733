"""A stream taken up from a snapshot goes on to the last bit as the one it was taken of."""

import json
import random

from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    encode_frames, FrameSampler, Prompt, SessionState, StreamSession, StreamSnapshot,
)
import pytest
import torch

NUM_STEPS = 60


def run(session, tiny_model, tools, steps):
    """Step through the given step numbers, frames and a few prompts in between; the events."""
    events = []
    for index in steps:
        if index % 3 == 0:
            session.add_frame(encode_frames(tiny_model, [tools.frame(index)])[0])
        if index in (2, 20, 41):
            session.add_prompt(Prompt(f'What of {index}?', f'prompt-{index}'))
        events += session.step()
    return events


def through_json(snapshot):
    """As a file would keep it: plain values, and tensors of their own."""
    return StreamSnapshot(
        json.loads(json.dumps(snapshot.state)),
        {name: tensor.clone() for name, tensor in snapshot.tensors.items()})


@pytest.mark.parametrize('do_sample', [False, True])
def test_a_restored_session_goes_on_with_the_same_events(tiny_model, chat, tools, do_sample):
    options = tools.options(
        silence_logit_bias=2.0, max_context_frames=8, keep_context_frames=4,
        sampling=SamplingOptions(do_sample=do_sample, repetition_penalty=1.1))
    whole = run(StreamSession(tiny_model, chat, options), tiny_model, tools, range(NUM_STEPS))
    was_speaking = was_rolled_over = False
    for cut in random.Random(5).sample(range(NUM_STEPS), 6):
        first = StreamSession(tiny_model, chat, options)
        before = run(first, tiny_model, tools, range(cut))
        was_speaking |= first.state is SessionState.SPEAKING
        was_rolled_over |= first.context.num_rollovers > 0
        snapshot = through_json(first.snapshot())
        # A session with a past of its own, which must leave no trace.
        second = StreamSession(tiny_model, chat, options)
        run(second, tiny_model, tools, range(7))
        second.restore(snapshot)
        assert second.context.token_ids == first.context.token_ids
        assert before + run(second, tiny_model, tools, range(cut, NUM_STEPS)) == whole
    assert was_rolled_over
    assert was_speaking or not do_sample  # by chance, half of the time


def test_what_waits_is_kept_in_a_snapshot(tiny_model, chat, tools):
    sessions = [StreamSession(tiny_model, chat, tools.options()) for _ in range(2)]
    sessions[0].add_prompt(Prompt('What is there?', 'prompt-1'))
    for frame in encode_frames(tiny_model, [tools.frame(1), tools.frame(2)]):
        sessions[0].add_frame(frame)
    sessions[1].restore(through_json(sessions[0].snapshot()))
    events = [session.step() + session.step() for session in sessions]
    assert events[0] == events[1]
    assert sessions[1].newest_stamp_ns == 2_000_000_000
    caches = [session.snapshot().tensors for session in sessions]
    assert caches[0].keys() == caches[1].keys()
    assert all(torch.equal(caches[0][name], caches[1][name]) for name in caches[0])


def test_no_snapshot_while_pictures_wait(tiny_model, chat, tools):
    session = StreamSession(tiny_model, chat, tools.options())
    session.add_frame(tools.frame(1))
    with pytest.raises(ValueError, match='not encoded'):
        session.snapshot()


def test_a_restored_sampler_chooses_the_same_frames():
    generator = random.Random(3)
    stamps_ns = [index * 33_000_000 + generator.randrange(9_000_000) for index in range(200)]
    whole = FrameSampler(2.0)
    chosen = [whole.select(stamp_ns) for stamp_ns in stamps_ns]
    first, second = FrameSampler(2.0), FrameSampler(2.0)
    before = [first.select(stamp_ns) for stamp_ns in stamps_ns[:77]]
    second.select(10**15)
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert before + [second.select(stamp_ns) for stamp_ns in stamps_ns[77:]] == chosen
