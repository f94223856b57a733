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

"""Names of checkpoints become folders: from the disk, the local cache, or a hub made for it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import threading

from huggingface_hub import constants
from moss_ros.model import CheckpointError, load_model, resolve_checkpoint
import pytest

COMMIT = '0123456789abcdef0123456789abcdef01234567'
NAME = 'somebody/video-model'
WEIGHTS = 'model.safetensors'


@pytest.fixture
def files(toy_model, toy_values, write_checkpoint):
    """Return the files of a checkpoint, bytes by name."""
    folder = write_checkpoint(toy_model, toy_values, 'original')
    (folder / 'tokenizer.json').write_text('{}')
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return an empty cache folder of the hub's client; no network but what a test sets up."""
    folder = tmp_path / 'hub'
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(folder))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    return folder


def fill_cache(cache, files):
    """Write files as the hub's client leaves them; return the snapshot's folder."""
    repository = cache / 'models--somebody--video-model'
    snapshot = repository / 'snapshots' / COMMIT
    snapshot.mkdir(parents=True)
    (repository / 'refs').mkdir()
    (repository / 'refs' / 'main').write_text(COMMIT)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    return snapshot


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs; the server holds the files and counts requests."""

    def do_HEAD(self):  # noqa: N802
        self.do_GET(with_body=False)

    def do_GET(self, with_body=True):  # noqa: N802
        files = self.server.files
        path = self.path.split('?')[0]
        self.server.asked.append(path)
        if path == f'/api/models/{NAME}/revision/main':
            body = json.dumps({'id': NAME, 'sha': COMMIT, 'siblings': []}).encode()
        elif path == f'/api/models/{NAME}/tree/{COMMIT}':
            body = json.dumps([{'type': 'file', 'path': name, 'size': len(content),
                                'oid': f'{index:040x}'}
                               for index, (name, content) in enumerate(files.items())]).encode()
        else:
            body = files.get(path.removeprefix(f'/{NAME}/resolve/{COMMIT}/'))
        self.send_response(404 if body is None else 200)
        body = body or b''
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('ETag', f'"{hash(path) & 0xffffffff:040x}"')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub(cache, monkeypatch):
    """Return a running hub on this machine, without files yet."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    server.files, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name='hub')
    thread.start()
    endpoint = f'http://127.0.0.1:{server.server_port}'
    monkeypatch.setattr(constants, 'ENDPOINT', endpoint)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE',
                        endpoint + '/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize('kind', [str, lambda path: path])
def test_a_folder_is_itself(tmp_path, cache, kind):
    assert resolve_checkpoint(kind(tmp_path)) == tmp_path


def test_a_folder_of_that_name_comes_before_the_hub(tmp_path, cache, files, monkeypatch):
    fill_cache(cache, files)
    (tmp_path / NAME).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint(NAME).resolve() == tmp_path / NAME


def test_the_cache_is_enough_without_a_network(cache, files):
    snapshot = fill_cache(cache, files)
    assert resolve_checkpoint(NAME) == snapshot
    assert load_model(resolve_checkpoint(NAME)).config.num_frame_tokens == 5


def test_the_cache_comes_before_the_network(cache, hub, files):
    snapshot = fill_cache(cache, files)
    assert resolve_checkpoint(NAME) == snapshot
    assert not hub.asked


def test_json_and_safetensors_are_downloaded_and_nothing_else(cache, hub, files):
    hub.files = {**files, 'modeling_video.py': b'raise SystemExit', 'pytorch_model.bin': b'\x80',
                 'original/model.safetensors': b'', 'original/params.json': b'{}'}
    folder = resolve_checkpoint(NAME)
    assert cache in folder.parents
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    load_model(folder)
    assert not any(part in path for path in hub.asked for part in ('.py', '.bin', 'original'))


@pytest.mark.parametrize('lost', ['config.json', 'tokenizer.json', WEIGHTS])
def test_an_incomplete_cache_is_completed(cache, hub, files, lost):
    fill_cache(cache, {name: files[name] for name in files if name != lost})
    hub.files = files
    folder = resolve_checkpoint(NAME)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_what_is_nowhere_offline(cache):
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(NAME)
    for part in (NAME, str(cache), 'HF_HUB_OFFLINE forbids to download it: unset it, or copy'):
        assert part in str(caught.value)


def test_an_incomplete_cache_offline(cache, files):
    fill_cache(cache, {name: files[name] for name in files if name != WEIGHTS})
    with pytest.raises(CheckpointError, match='it is not complete .* has no weights: .*OFFLINE'):
        resolve_checkpoint(NAME)


def test_what_the_hub_does_not_have(cache, hub):
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint('somebody/else')
    for part in ('somebody/else is no folder', 'downloading it failed (', '404',
                 'check the id, the network and "hf auth login", or copy the checkpoint here'):
        assert part in str(caught.value)


def test_a_hub_that_is_not_there(cache, hub, monkeypatch):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(CheckpointError, match='downloading it failed'):
        resolve_checkpoint(NAME)


@pytest.mark.parametrize('name', ['', 'no-owner', '/no/such/folder', './no/such', 'a/b/c',
                                  '../up', 'owner/', 'https://host/owner/name'])
def test_what_is_neither_a_folder_nor_an_id(cache, name):
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(name)
    assert f"{name!r} is neither a folder nor an id 'owner/name'" in str(caught.value)
