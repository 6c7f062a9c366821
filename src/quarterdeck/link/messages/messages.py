"""Messages that processes printed: queries of the server and their answers."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from quarterdeck.model.messages import MessagePage
from quarterdeck.model.struct import Name, Text, Wire


class AskMessages(Wire, frozen=True, kw_only=True, tag="ask_messages"):
    """A query for messages. Answered by one `MessagesFound` of this number, as soon as a message matches.

    `filter` is a `MessageFilter` as a map: a key that the agent does not know is answered with an error.
    """

    number: int
    filter: Annotated[dict[Name, Any], Meta(max_length=64)] = {}
    wait_s: float = 0.0  #: how long the answer may wait for a message; then it is an empty page
    follower: int = 0  #: the follower of a job, which its program must not leave far behind
    skip: bool = False  #: the newest page behind the cursor, with the number of matching messages that it leaves out


class MessagesFound(Wire, frozen=True, kw_only=True, tag="messages_found"):
    """The one answer to an `AskMessages`: a page of at most 1 MiB or one message, or an error."""

    number: int
    page: MessagePage | None = None
    code: Name = ""  #: an error code of model/errors instead of a page
    problem: Text = ""  #: the error's message


class StopAsking(Wire, frozen=True, kw_only=True, tag="stop_asking"):
    """Withdraws an `AskMessages`, whose answer is no longer needed."""

    number: int  #: 0: none
    follower: int = 0  #: this follower has stopped reading too: no program waits for it
