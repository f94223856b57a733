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
Who may see the desk: the headers of a request go in, a reason to refuse it comes out.

A browser sends what other pages make it send. Host tells by which name it was asked for (a page
elsewhere may point a name of its own to this machine), Origin which page asks, and the token
whether its user was given the link. Called by the server for each request.
"""

from __future__ import annotations

from dataclasses import dataclass
import hmac
import ipaddress
import re
import secrets
import socket
from urllib.parse import urlsplit

_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?', re.IGNORECASE)
_MAX_HEADER = 300


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: an HTTP status, and a line for people with the way out."""

    status: int
    text: str


@dataclass(frozen=True)
class Access:
    """
    The rule of a desk; any thread may ask.

    - is_local: it is served to this machine only. hosts: further names by which it is reached, in
      lower case, such as that of a reverse proxy.
    - token: what a browser must bring; '' where none is needed.
    - own_name: the name or address that it is served on, in lower case.
    """

    is_local: bool
    hosts: frozenset[str] = frozenset()
    token: str = ''
    own_name: str = ''

    @classmethod
    def for_address(cls, address: str, hosts: frozenset[str]) -> Access:
        """Return the rule for an address to serve on; makes the token where one is needed."""
        is_local = _is_loopback(address)
        needs_token = not is_local or bool(hosts)
        return cls(is_local, hosts, secrets.token_urlsafe(24) if needs_token else '',
                   address.lower())

    def refusal_of_host(self, host: str | None) -> Refusal | None:
        """Return why the name by which the desk was asked for is refused; None where it is not."""
        name = _host_name(host)
        if name is not None and self._is_known(name):
            return None
        return Refusal(
            403, f'This desk is not known as {_shown(host)}. Open it by the link that it printed '
            "at its start, or start it with that name in its parameter 'hosts'.")

    def refusal_of_origin(self, origin: str | None, host: str | None) -> Refusal | None:
        """Return why the page that asks is refused; None where it is the desk's own."""
        try:
            parts = urlsplit(origin or '')
            name = (parts.hostname or '').lower()
        except ValueError:
            parts, name = None, ''
        if parts is not None and parts.scheme in ('http', 'https') and name and (
                parts.netloc.lower() == (host or '').lower() or name in self.hosts):
            return None
        return Refusal(
            403, f'A page of {_shown(origin)} may not use this desk. Behind a reverse proxy, '
                 "start it with the proxy's name in its parameter 'hosts'.")

    def refusal_of_token(self, given: str | None) -> Refusal | None:
        """Return why a token is refused; None where it is right, or none is needed."""
        if not self.token or hmac.compare_digest(
                (given or '').encode('utf-8', 'replace'), self.token.encode()):
            return None
        return Refusal(401, 'Open the desk by the link that it printed at its start: it has the '
                            'token. After a new start of the desk, take the new link.')

    def _is_known(self, name):
        if name in self.hosts or name == 'localhost':
            return True
        if _address(name) is not None:
            # Nobody else can point an address somewhere.
            return not self.is_local or _is_loopback(name)
        own = socket.gethostname().lower()
        return not self.is_local and name in (
            self.own_name, own, f'{own}.local', own.partition('.')[0])


def hosts_of(text: str) -> frozenset[str]:
    """Return the names in a list that is separated by commas, in lower case, without ports."""
    items = filter(None, (item.strip() for item in text.split(',')))
    return frozenset(_host_name(item) or item.lower() for item in items)


def link_of(address: str, port: int, token: str) -> str:
    """Return the address of the page, as printed for people."""
    where = ipaddress.ip_address(address) if _address(address) else None
    name = address
    if where is not None and where.is_unspecified:
        name = _address_of_this_machine(where.version) or socket.gethostname()
    name = f'[{name}]' if ':' in name else name
    return f'http://{name}:{port}/' + (f'?token={token}' if token else '')


def _host_name(host):
    """Return the name in a Host header, in lower case; None where it is none."""
    if host is None or len(host) > _MAX_HEADER:
        return None
    found = _HOST.fullmatch(host)
    return found.group(1).strip('[]').lower() if found else None


def _address(name):
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name):
    address = _address(name)
    return address.is_loopback if address is not None else name == 'localhost'


def _address_of_this_machine(version):
    """Return the address, of IP 4 or 6, by which others reach it, '' where that is not known."""
    family, other = ((socket.AF_INET, '192.0.2.1') if version == 4
                     else (socket.AF_INET6, '2001:db8::1'))
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))  # sends nothing: only the route is looked up
            return probe.getsockname()[0]
    except OSError:
        return ''


def _shown(header):
    return 'no name' if not header else repr(header[:_MAX_HEADER])
