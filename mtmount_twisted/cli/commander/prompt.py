"""Lines from a person: a prompt with completion. Replies and events appear above it.

This module is imported only for a person, because it loads ``prompt_toolkit``. `converse` is a coroutine of
asyncio, not of Twisted: it runs on the loop of Twisted's asyncio reactor. It touches the terminal. Next to
read: `session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.patch_stdout import patch_stdout

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.visible import visible

from .completion import offers
from .session import Session


class LineCompleter(Completer):
    """Adapter of `offers` for ``prompt_toolkit``.

    :param dialect: the protocol of the commands.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        for offer in offers(document.text_before_cursor, self._dialect):
            yield Completion(offer.text, start_position=-offer.replaces, display_meta=offer.doc)


def make_prompt(
    session: Session, name: str, lacks: Callable[[], str] = lambda: "", **options: Any
) -> PromptSession[str]:
    """Make the prompt. Its label shows that there is no connection, or that another commander has command.

    :param name: name in the prompt.
    :param lacks: function that returns a further text for the label, such as the holder of command; empty for
        none.
    :param options: more arguments for `PromptSession`, such as another input and output.
    """

    def label() -> str:
        lacking = lacks() if session.connected else "not connected"
        return f"{name} ({visible(lacking)})> " if lacking else f"{name}> "

    return PromptSession(
        label,
        completer=LineCompleter(session.dialect),
        complete_while_typing=False,
        **options,
    )


async def converse(session: Session, prompt: PromptSession[str]) -> None:
    """Start each line that the person enters, until a line ends the session, or until Ctrl-D.

    Ctrl-C drops the unfinished line. A person can enter the next line before a command has ended.
    """
    with patch_stdout():
        while not session.quitting:
            try:
                session.start(await prompt.prompt_async())
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
