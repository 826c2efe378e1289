"""Access to the HTTP server: `Guard` checks a request's host, its origin, its token and the user's role.

A browser sends requests of any page to any address. `Guard.admit` therefore checks every request: its host
must be a name of this daemon (by DNS rebinding, an attacker may point another name at the daemon), and its
origin must be the daemon's own page or an allowed one. `Guard.user` identifies the user. It also rejects a
request from another site's page that has no origin, such as the request for a picture. No I/O. Next to read:
`tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtmount_twisted.hosts import plain_address

from .calls import Request, RequestError, Role, User
from .tokens import Tokens

ANYONE = "anyone"
"""The name of the only user if there are no tokens."""

NOBODY = "nobody"
"""The name of a user without a token, at a path that needs none."""

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that every request may name. A request may also name the address at which it arrives."""

LONGEST_URL = 2048
"""The longest URL, in bytes."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The hosts that a request may name, and the origins from which it may come.

    :ivar hosts: names and addresses of this daemon, in addition to `LOCAL`.
    :ivar origins: the origins of pages that may send requests, in addition to the daemon's own page.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Guard:
    """The `routing.AccessPolicy` of the daemon.

    :param doors: the hosts and origins that are accepted.
    :param tokens: the users' tokens; None if everyone may send requests.
    :param anyone: the user of every request if there are no tokens.
    """

    def __init__(self, doors: HostPolicy, tokens: Tokens | None, anyone: User) -> None:
        self._hosts = frozenset(_spelled(host) for host in (*LOCAL, *doors.hosts))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in doors.origins)
        self._tokens = tokens
        self._anyone = anyone
        self._nobody = User(NOBODY, frozenset(), anyone.source)

    @property
    def has_tokens(self) -> bool:
        """True if users identify themselves by tokens; False if everyone may send requests."""
        return self._tokens is not None

    def admit(self, request: Request) -> None:
        """Check the host, the origin and the length of the URL of a request.

        :raises RequestError: if the request is rejected.
        """
        host = self._host(request)
        origins = _said(request, b"origin")
        if len(origins) > 1:
            raise RequestError(400, f"the request has {len(origins)} Origin headers, expected one")
        for origin in origins:
            if not self._may_ask(origin.lower(), host, request.isSecure()):
                raise RequestError(403, f"a page of {origin[:100]!r} may not send requests here")
        if len(request.uri) > LONGEST_URL:
            raise RequestError(414, f"the URL is longer than {LONGEST_URL} bytes")

    def _host(self, request: Request) -> str:
        given = _said(request, b"host")
        host = given[0].lower() if len(given) == 1 else ""
        found = _HOST.fullmatch(host)
        # The socket's own address is safe: DNS can't point another name at an address literal. The address is
        # IPv4-mapped on a dual-stack socket, and has a zone if it is link-local; a browser sends neither.
        here = _spelled(getattr(request.getHost(), "host", ""))
        name = "" if found is None else _spelled(found[1].strip("[]"))
        if not name or name not in (*self._hosts, here):
            raise RequestError(
                421, f"this daemon does not serve the host {host[:100]!r} (see web.allowed_hosts)"
            )
        return host

    def _may_ask(self, origin: str, host: str, secure: bool) -> bool:
        own = (f"https://{host}",) if secure else (f"http://{host}", f"https://{host}")  # a proxy may add TLS
        return origin in own or origin in self._origins

    def user(self, request: Request, role: Role | None) -> User:
        """Return the user of a request.

        :param role: the role that the user needs; None if the path needs none.
        :raises RequestError: if the user is unknown or lacks the role.
        """
        user = self._anyone if self._tokens is None else self._who(request)
        if role is None:
            return user or self._nobody
        if _is_from_elsewhere(request):
            raise RequestError(403, "a page of another site may not send requests here")
        if user is None:
            raise _unauthorized(_said(request, b"authorization"))
        if role not in user.roles:
            raise RequestError(403, f"the token {user.name!r} lacks the role {role!r}")
        return user

    def _who(self, request: Request) -> User | None:
        given = _said(request, b"authorization")
        kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() != "bearer" or self._tokens is None:
            return None
        return self._tokens.user(secret.strip())


def _spelled(host: str) -> str:
    """Return the normal spelling of a host. A final dot, the DNS root, is removed (RFC 3986, 3.2.2)."""
    return plain_address(host.lower().removesuffix("."))


def _unauthorized(given: list[str]) -> RequestError:
    """Return the answer to a request without a known token.

    The answer distinguishes an unknown token from a missing one (RFC 6750, 3.1), so that the sender of a
    token need not look for a fault in the header.

    :param given: the values of the header ``Authorization``.
    """
    challenge = 'Bearer realm="mtmount"'
    kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    why = "a token is needed: 'Authorization: Bearer TOKEN'"
    if len(given) > 1:
        why = f"the request has {len(given)} Authorization headers, expected one"
    elif given and not (kind.lower() == "bearer" and secret.strip()):
        why = "the header Authorization has no token: expected 'Authorization: Bearer TOKEN'"
    elif given:
        why = "unknown token: see the daemon's file of tokens (web.tokens)"
        challenge += ', error="invalid_token", error_description="unknown token"'
    return RequestError(401, why, headers={"WWW-Authenticate": challenge})


def _said(request: Request, header: bytes) -> list[str]:
    """Return the values of a header, in Latin-1, because a peer may send any bytes."""
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(header, [])]


def _is_from_elsewhere(request: Request) -> bool:
    """Return True if the browser reports that another site's page sent the request, without its origin.

    Such a page can't read the answer. But each accepted request counts as a sign that the user is present,
    and so another site's page could keep an absent user in command.
    """
    sites = {site.lower() for site in _said(request, b"sec-fetch-site")}
    return bool(sites & {"cross-site", "same-site"}) and not _said(request, b"origin")
