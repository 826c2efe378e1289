"""The configuration of ``nats-server`` for a mount: accounts, rights and streams, as text.

No I/O. Next to read: `streams`; ``docs/howto/events-by-nats.rst``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .requests import Subjects
from .streams import (
    EVENTS,
    StreamSettings,
    commands_name,
    commands_stream,
    events_stream,
    lease_stream,
    telemetry_stream,
)

READER = "reader"
"""The name of the consumer of the reader in the text."""


def bridge_rights(mount: str) -> dict[str, dict[str, list[str]]]:
    """Return the rights of the bridges of a mount."""
    return {
        "publish": {"allow": [f"mt.{mount}.>", "$JS.API.>"]},
        "subscribe": {"allow": [f"mt.{mount}.>", "_INBOX.>"]},
    }


def reader_rights(consumer: str) -> dict[str, dict[str, list[str]]]:
    """Return the rights of a reader with a pull consumer that an administrator has made.

    A reader that may make push consumers can let the server write to subjects where the reader may not
    (nats-server, issue 8274).
    """
    answers = f"{inbox_of(consumer)}.>"
    return {"publish": {"allow": list(_questions(consumer))}, "subscribe": {"allow": [answers]}}


def _questions(consumer: str) -> tuple[str, str]:
    """Return the subjects on which a reader asks for messages, and acknowledges them."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{consumer}", f"$JS.ACK.{EVENTS}.{consumer}.>"


def inbox_of(user: str) -> str:
    """Return the beginning of the subjects for answers to a user, who may not read the answers to others."""
    return f"_INBOX_{user}"


def requester_rights(mount: str, user: str) -> dict[str, dict[str, list[str]]]:
    """Return the rights of a user who sends commands: the user writes requests, and reads their claims and
    outcomes."""
    subjects = Subjects(mount)
    life = subjects.life(user, "*")
    return {
        "publish": {"allow": [subjects.request(user, "*"), last_message(user, life)]},
        "subscribe": {"allow": [life, f"{inbox_of(user)}.>"]},
    }


def last_message(user: str, life: str) -> str:
    """Return the subject that asks the stream of a user for the last message of another subject."""
    return f"$JS.API.DIRECT.GET.{commands_name(user)}.{life}"


def _variable(user: str) -> str:
    """Return the name of the variable with the public key of a user."""
    return f"USER_{user.upper().replace('-', '_')}_NKEY"


def _exports(mount: str, user: str) -> str:
    request, life = Subjects(mount).request(user, "*"), Subjects(mount).life(user, "*")
    to = f"accounts: [USER_{user}]"
    return f"""\
      {{ service: "{request}", {to} }}
      {{ service: "{last_message(user, life)}", {to} }}
      {{ stream: "{life}", {to} }}
"""


def _account(mount: str, user: str) -> str:
    request, life = Subjects(mount).request(user, "*"), Subjects(mount).life(user, "*")
    of = "account: MOUNT, subject:"
    return f"""\
  USER_{user}: {{
    users: [
      {{ nkey: ${_variable(user)}, permissions: {json.dumps(requester_rights(mount, user))} }}
    ]
    imports: [
      {{ service: {{ {of} "{request}" }} }}
      {{ service: {{ {of} "{last_message(user, life)}" }} }}
      {{ stream: {{ {of} "{life}" }} }}
    ]
  }}
"""


_ABOUT_USERS = """\
  # Each user who sends commands has an account of its own: the server answers to any subject that a user
  # names, and in an account with others it could so write a request of theirs. Each has a stream, too: a full
  # one refuses the requests of its own user only.
"""


def _stream_line(stream: StreamSettings) -> str:
    return f"# {json.dumps(stream.as_json())}"


def server_config(mount: str, replicas: int, users: Sequence[str] = ()) -> str:
    """Return the text of a configuration.

    :param users: the names of the users who send commands.

    The public keys of the users come from the environment of the server, so that the text has no key.
    """
    kept = [
        events_stream(replicas),
        telemetry_stream(),
        lease_stream(replicas),
        *(commands_stream(user, replicas) for user in users),
    ]
    store = max(40, 30 + sum(each.max_bytes for each in kept) // 2**30 - 24)
    streams = "\n".join(map(_stream_line, kept))
    exports = "".join(_exports(mount, user) for user in users)
    accounts = "".join(_account(mount, user) for user in users)
    variables = ", ".join(["ADMIN_NKEY", "BRIDGE_NKEY", "READER_NKEY", *map(_variable, users)])
    asking, confirming = _questions(READER)
    return f"""\
# A configuration of nats-server (2.9 or newer, not 2.10.20 to 2.10.22) for the mount {mount}.
# Set these in the environment of the server:
#     {variables}
# They are the public keys of the users, which begin with U. The seed of the bridge's key is the file
# `credentials` of [station.broker].

listen: "127.0.0.1:4222"        # beyond this machine: another address, and a section tls
max_payload: 1MB

jetstream {{
  store_dir: "/var/lib/nats"
  max_file_store: {store}GB          # less than the disk has: a server whose disk is full does not answer
  # sync_interval: "1s"         # 2.10 and newer: what a loss of power may take, in place of 2 minutes
}}

accounts {{
  MOUNT: {{
    jetstream: enabled
    users: [
      {{ nkey: $ADMIN_NKEY }}
      {{ nkey: $BRIDGE_NKEY, permissions: {json.dumps(bridge_rights(mount))} }}
    ]
    exports: [
      {{ service: "{asking}", response: "stream", accounts: [READERS] }}
      {{ service: "{confirming}", accounts: [READERS] }}
{exports}    ]
  }}
  # Readers have an account of their own. The server sends messages to any subject that a reader names, and
  # does not look at the reader's rights: in the account MOUNT, copies of events would fill the stream.
  READERS: {{
    users: [
      # A reader for each program: the administrator makes its pull consumer, here of the name {READER}. The
      # subjects for its answers begin with {inbox_of(READER)}, so that no other reader sees them.
      {{ nkey: $READER_NKEY, permissions: {json.dumps(reader_rights(READER))} }}
    ]
    imports: [
      {{ service: {{ account: MOUNT, subject: "{asking}" }} }}
      {{ service: {{ account: MOUNT, subject: "{confirming}" }} }}
    ]
  }}
{_ABOUT_USERS if users else ""}{accounts}}}

# The bridge makes these streams if they are missing; `nats stream add --config FILE` makes them by hand:
{streams}
"""
