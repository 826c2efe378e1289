"""Who is let in: requests that are meant for this daemon, that no other site's page has made, with a token.

A browser takes every page to every address, so `Guard.admit` asks of all requests, whatever they are for,
whether they name this daemon as their host (another name may be made to point here) and whether the page
that made them is one of its own. `Guard.user` tells who asks, and refuses what another site's page asks
without saying where it comes from: a picture's address, say. Next to read: `tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.hosts import plain_address

from .calls import Problem, Role, User
from .tokens import Tokens

ANYONE = "anyone"
"""The name of the one user where there are no tokens."""

NOBODY = "nobody"
"""The name of a user who has shown no token, where none is asked for."""

LOCAL = ("localhost", "127.0.0.1", "::1")
"""The hosts that requests may always be meant for; and so is the address at which they arrive."""

LONGEST_URL = 2048
"""In bytes."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """What a request may be addressed to, and where it may come from.

    :ivar hosts: names and addresses of this daemon, besides `LOCAL`.
    :ivar origins: of the pages that may ask, besides its own.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Guard:
    """A `routing.AccessPolicy`.

    :param doors: what requests may be meant for.
    :param tokens: who may ask; None if anyone may.
    :param anyone: who asks if there are no tokens.
    """

    def __init__(self, doors: HostPolicy, tokens: Tokens | None, anyone: User) -> None:
        self._hosts = frozenset(_spelled(host) for host in (*LOCAL, *doors.hosts))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in doors.origins)
        self._tokens = tokens
        self._anyone = anyone
        self._nobody = User(NOBODY, frozenset(), anyone.source)

    @property
    def has_tokens(self) -> bool:
        """Whether users show who they are; else anyone may ask."""
        return self._tokens is not None

    def admit(self, request: Any) -> None:
        """Look at where a request goes and comes from.

        :raises Problem: if it is not to be looked at further.
        """
        host = self._host(request)
        for origin in _said(request, b"origin"):
            if not self._may_ask(origin.lower(), host, request.isSecure()):
                raise Problem(403, f"a page of {origin[:100]!r} may not ask here")
        if len(request.uri) > LONGEST_URL:
            raise Problem(414, f"the URL is longer than {LONGEST_URL} bytes")

    def _host(self, request: Any) -> str:
        given = _said(request, b"host")
        host = given[0].lower() if len(given) == 1 else ""
        found = _HOST.fullmatch(host)
        # The socket's own address, which no other name can stand for. It is IPv4-mapped on a dual-stack
        # socket and has a zone if it is link-local; a browser knows neither.
        here = _spelled(getattr(request.getHost(), "host", ""))
        name = "" if found is None else _spelled(found[1].strip("[]"))
        if not name or name not in (*self._hosts, here):
            raise Problem(
                421, f"not a host that this daemon answers for: {host[:100]!r} (see web.allowed_hosts)"
            )
        return host

    def _may_ask(self, origin: str, host: str, secure: bool) -> bool:
        own = (f"https://{host}",) if secure else (f"http://{host}", f"https://{host}")  # as a proxy has TLS
        return origin in own or origin in self._origins

    def user(self, request: Any, role: Role | None) -> User:
        """Who asks for something that takes a role, or none.

        :raises Problem: if that is not known, or that user lacks the role.
        """
        user = self._anyone if self._tokens is None else self._who(request)
        if role is None:
            return user or self._nobody
        if _is_from_elsewhere(request):
            raise Problem(403, "a page of another site may not ask here")
        if user is None:
            raise _unauthorized(_said(request, b"authorization"))
        if role not in user.roles:
            raise Problem(403, f"the token {user.name!r} has not the role {role!r}")
        return user

    def _who(self, request: Any) -> User | None:
        given = _said(request, b"authorization")
        kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() != "bearer" or self._tokens is None:
            return None
        return self._tokens.user(secret.strip())


def _spelled(host: str) -> str:
    """Return a host in the one spelling that is compared: a final dot is the DNS root (RFC 3986, 3.2.2)."""
    return plain_address(host.lower().removesuffix("."))


def _unauthorized(given: list[str]) -> Problem:
    """Return the response to a request without a known token.

    It tells a token that is wrong from none (RFC 6750, 3.1): who sent none is asked for one, and who sent one
    need not look for the fault in the header.

    :param given: the values of its ``Authorization``.
    """
    challenge = 'Bearer realm="mtmount"'
    kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    why = "a token is needed: 'Authorization: Bearer TOKEN'"
    if len(given) > 1:
        why = f"the request has {len(given)} Authorization headers, expected one"
    elif given and not (kind.lower() == "bearer" and secret.strip()):
        why = "a token is needed, and Authorization has none: expected 'Authorization: Bearer TOKEN'"
    elif given:
        why = "the token is not known: see the daemon's file of tokens (web.tokens)"
        challenge += ', error="invalid_token", error_description="the token is not known"'
    return Problem(401, why, headers={"WWW-Authenticate": challenge})


def _said(request: Any, header: bytes) -> list[str]:
    """The values of a header, each byte a character: a peer may send what is no text."""
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(header, [])]


def _is_from_elsewhere(request: Any) -> bool:
    """Whether a browser says that another site's page asks, and not which: no answer is for that.

    The answer would tell it nothing, but to ask keeps a user present, and so what that has command of.
    """
    sites = {site.lower() for site in _said(request, b"sec-fetch-site")}
    return bool(sites & {"cross-site", "same-site"}) and not _said(request, b"origin")
