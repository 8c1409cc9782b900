"""Who may call: the Host that is meant, the Origin that may write, the key. Nothing is read before.

All is decided on the raw path and headers, never on an address that was put together from them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.serving.refusals import RefusedError, send_refusal

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
READING = frozenset({"GET", "HEAD"})
METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
OPEN_PATHS = frozenset({"/health"})  # asked by supervisors, which have no key
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST_KEY = 1024  # bytes of a header that could hold a key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Door:
    """Who may call.

    Attributes:
        host: the address that the server is bound to.
        names: further names of Host that are meant.
        origins: web pages of other places that may write, spelled as browsers do.
        key: what callers must know; None where only this machine can call.
    """

    host: str = "127.0.0.1"
    names: Sequence[str] = ()
    origins: Sequence[str] = ()
    key: str | None = field(default=None, repr=False)

    def require_host(self, hosts: Sequence[bytes]) -> str:
        """Return the one Host that was given.

        A page that made its name resolve to this machine still sends that name: DNS rebinding
        ends here. Addresses cannot be made to resolve, so beyond loopback any is meant.
        """
        if len(hosts) != 1:
            raise RefusedError(400, "a request has exactly one Host header", "E_HOST")
        text = hosts[0].decode("latin-1")
        found = _HOST.fullmatch(text)
        if found is None:
            raise RefusedError(400, "the Host header is no name and port", "E_HOST")
        name = found["name"].lower()
        listed = name in (*LOOPBACK, self.host, *self.names)
        if not listed and not (not is_loopback(self.host) and _is_address(name)):
            raise RefusedError(
                403, "this Host is not served; list it with --allowed-host", "E_HOST"
            )
        return text

    def require_origin(self, method: str, origins: Sequence[bytes], host: str) -> str | None:
        """Return the foreign Origin that may read the answer, None where there is none."""
        if not origins:
            return None
        origin = origins[0].decode("latin-1")
        if len(origins) == 1:
            if origin in self.origins:
                return origin
            if origin in (f"http://{host}", f"https://{host}") or method in READING:
                return None
        raise RefusedError(403, "this Origin may not ask; allow it with --cors", "E_ORIGIN")

    def require_key(self, path: str, scope: Scope) -> None:
        """Refuse callers who do not know the key."""
        if self.key is None or path in OPEN_PATHS:
            return
        given = [_shown(name, value) for name, value in scope["headers"]]
        keys = [key for key in given if key is not None]
        expected = hashlib.sha256(self.key.encode()).digest()
        known = [hmac.compare_digest(hashlib.sha256(key).digest(), expected) for key in keys]
        if len(known) != 1 or not known[0]:
            scheme = "Basic" if _wants_page(scope) else "Bearer"
            raise RefusedError(
                401,
                "the key is missing or wrong; send it as 'Authorization: Bearer KEY'",
                "E_KEY",
                {"www-authenticate": f'{scheme} realm="fathom"'},
            )


class Guard:
    """Lets through what may pass a door."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and answer those of browsers that ask whether they may."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            if scope["type"] != "http":
                raise RefusedError(400, "only HTTP is spoken here", "E_PROTOCOL")
            allowed = self._check(scope)
        except RefusedError as refused:
            await send_refusal(refused.fault, scope, receive, send, refused.headers)
            return
        if allowed is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _preflight(allowed, send)
        else:
            await self._app(scope, receive, _with_origin(allowed, send))

    def _check(self, scope: Scope) -> str | None:
        """Return the foreign origin that may read the answer.

        Raises:
            RefusedError: for whom it is not meant.
        """
        path = scope["path"]
        if not path.startswith("/") or "\0" in path:
            raise RefusedError(400, "a path begins with /", "E_PATH")
        host = self._door.require_host(_values(scope, b"host"))
        origin = self._door.require_origin(scope["method"], _values(scope, b"origin"), host)
        if scope["method"] == "OPTIONS" and origin is not None:
            return origin  # asked before the key is sent
        self._door.require_key(path, scope)
        return origin


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for each, value in scope["headers"] if each == name]


def _shown(name: bytes, value: bytes) -> bytes | None:
    """Return the key that a header shows, None where it is for something else."""
    if name == b"x-api-key":
        return value[:_LONGEST_KEY]
    if name != b"authorization":
        return None
    scheme, _, rest = value[:_LONGEST_KEY].partition(b" ")
    if scheme == b"Bearer":
        return rest
    if scheme == b"Basic":  # what a browser asks its user for: any name, the key as password
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _wants_page(scope: Scope) -> bool:
    return any(b"text/html" in value for value in _values(scope, b"accept"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


async def _preflight(origin: str, send: Send) -> None:
    headers = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", METHODS.encode()),
        (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _with_origin(origin: str, send: Send) -> Send:
    """Say of an answer who may read it; never together with credentials."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", b"x-request-id, x-fathom-warnings"),
                (b"vary", b"origin"),
            ]
            message["headers"] = [*message.get("headers", []), *added]
        await send(message)

    return told
