"""
Which token comes next, of those that the model may say: logits in, one token id out.

Leaves out control tokens and ids that stand for nothing; the draw itself is sample_token's. Used
by live streams and by offline answers.

Letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
import math

from moss_ros.model import sample_token, SamplingOptions
from moss_ros.stream.chat import ChatFormat
import torch


class TokenChooser:
    """Chooses tokens of one model. Keeps nothing of a call: any thread may call."""

    def __init__(self, chat: ChatFormat, vocab_size: int, device: torch.device):
        """Prepare for logits of vocab_size ids, on device."""
        self._chat = chat
        self._never_said = torch.tensor(
            chat.never_said_ids(vocab_size), dtype=torch.int64, device=device)

    @torch.inference_mode()
    def choose(self, logits: torch.Tensor, sampling: SamplingOptions, said_ids: Iterable[int],
               generator: torch.Generator, silence_logit_bias: float = 0.0) -> int:
        """
        Return the id of the next token for logits [V], which stay as they are.

        said_ids: what was said before, for the repetition penalty, which spares control tokens.
        silence_logit_bias is added to the logit of <|silence|>. Raises ValueError where the
        logits hold nan or allow no token.
        """
        logits = logits.float().index_fill(0, self._never_said, -math.inf)  # a copy
        logits[self._chat.silence_id] += silence_logit_bias
        return sample_token(logits, sampling, said_ids, self._chat.control_ids, generator)
