"""What the tests of training share."""

from moss_ros.stream.chat import ChatFormat
from moss_ros.training.vocabulary import write_tokenizer
import pytest


@pytest.fixture(scope='session')
def chat(tmp_path_factory):
    """Return the chat format of the embedded model's own tokenizer."""
    folder = tmp_path_factory.mktemp('tokenizer')
    write_tokenizer(folder)
    return ChatFormat(folder / 'tokenizer.json')
