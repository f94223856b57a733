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
What the desk serves over HTTP: the page, its style and scripts, and small pictures.

A request goes in, a response comes out: only for who may see the desk, and nothing that is not in
a fixed list. Called by the server, on its thread.
"""

from __future__ import annotations

from collections.abc import Callable
import hashlib

from aiohttp import web
from moss_ros.desk.access import Access
from moss_ros.views.page_files import desk_files

THUMBNAILS = '/thumbnail/'
# Whatever a model or a prompt says, no script comes from it: the page may not even make markup of
# a text.
_POLICY = '; '.join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
    "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    "require-trusted-types-for 'script'", "trusted-types 'none'"))
_HEADERS = {
    'Content-Security-Policy': _POLICY, 'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Resource-Policy': 'same-origin'}
_COOKIE = 'moss_ros_desk'


class DeskPages:
    """The fixed list of files, and the rule for who may have them."""

    def __init__(self, access: Access):
        self._access = access
        self._files = {f'/{name}': file for name, file in desk_files().items()}
        self._files['/'] = self._files.pop('/desk.html')
        self._tags = {path: f'"{hashlib.sha256(content).hexdigest()[:20]}"'
                      for path, (_, content) in self._files.items()}

    def response(self, request: web.BaseRequest,
                 thumbnail: Callable[[str], bytes | None]) -> web.Response:
        """Return what a request is for, or why it is refused."""
        refusal = self._access.refusal_of_host(request.headers.get('Host'))
        if refusal is not None:
            return self.text(refusal.status, refusal.text)
        if request.method not in ('GET', 'HEAD'):
            return self.text(405, 'There is nothing to send here.', {'Allow': 'GET, HEAD'})
        if request.path == '/' and self._access.token and 'token' in request.query:
            return self._let_in(request)
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        if request.path.startswith(THUMBNAILS):
            return self._thumbnail(thumbnail(
                request.path.removeprefix(THUMBNAILS).removesuffix('.jpg')))
        return self._file(request)

    def refusal(self, request: web.BaseRequest, is_socket: bool = False) -> web.Response | None:
        """Return why a request is refused; None where it may go on."""
        host, origin = request.headers.get('Host'), request.headers.get('Origin')
        found = self._access.refusal_of_host(host)
        if found is None and (is_socket or origin is not None):
            found = self._access.refusal_of_origin(origin, host)
        if found is None:
            found = self._access.refusal_of_token(self._token_of(request))
        return None if found is None else self.text(found.status, found.text)

    def text(self, status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
        """Return a line for people."""
        return web.Response(
            status=status, text=f'{text}\n',
            headers={**_HEADERS, 'Cache-Control': 'no-store', **(headers or {})})

    def _let_in(self, request):
        """Take the token out of the address into a cookie, so that it stays out of sight."""
        refusal = self._access.refusal_of_token(request.query['token'])
        if refusal is not None:
            return self.text(refusal.status, refusal.text)
        # Without a path it holds for the folder of the page, also behind a proxy with a prefix.
        is_secure = request.headers.get('X-Forwarded-Proto', '').lower() == 'https'
        return self.text(303, 'Go on.', {
            'Location': './', 'Set-Cookie': f'{self._cookie(request)}={self._access.token}; '
            f'HttpOnly; SameSite=Lax{"; Secure" if is_secure else ""}'})

    def _token_of(self, request):
        scheme, _, token = request.headers.get('Authorization', '').partition(' ')
        if scheme.lower() == 'bearer':
            return token.strip()
        return request.cookies.get(self._cookie(request))

    @staticmethod
    def _cookie(request):
        # Cookies do not tell ports apart, but two desks of one machine must not share one.
        port = request.transport.get_extra_info('sockname')[1] if request.transport else 0
        return f'{_COOKIE}_{port}'

    def _file(self, request):
        if request.path not in self._files:
            return self.text(404, 'There is no such page here.')
        content_type, content = self._files[request.path]
        headers = {**_HEADERS, 'Cache-Control': 'no-cache', 'ETag': self._tags[request.path]}
        if request.headers.get('If-None-Match') == self._tags[request.path]:
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=content, content_type=content_type, charset='utf-8', headers=headers)

    def _thumbnail(self, jpeg):
        if jpeg is None:
            return self.text(404, 'This picture is forgotten.')
        return web.Response(body=jpeg, content_type='image/jpeg', headers={
            **_HEADERS, 'Cache-Control': 'private, max-age=86400, immutable'})
