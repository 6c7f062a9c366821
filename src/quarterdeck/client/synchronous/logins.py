"""`client.logins`: browsers that are signed in to the web UI."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.logins import Identity, Login, SignInCode


class Logins(Namespace):
    """Browsers that are signed in to the web UI."""

    def create_code(self) -> SignInCode:
        """Create a code that signs in one browser, within five minutes, with the role of this client's token."""
        return self._connection.send(post("/sign-in/codes", SignInCode))

    def identity(self) -> Identity:
        """Return the name and the role of this client's token."""
        return self._connection.send(get("/me", Identity))

    def list(self) -> Sequence[Login]:
        """Return the logins, the newest first."""
        return self._connection.send(get("/logins", list[Login]))

    def remove(self, login_id: str) -> None:
        """End a login immediately."""
        return self._connection.send(delete(f"/logins/{segment(login_id)}"))
