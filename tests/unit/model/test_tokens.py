from __future__ import annotations

from quarterdeck.model.tokens import Role


def test_a_role_covers_itself_and_those_below() -> None:
    covered = {role: [needed for needed in Role if role.covers(needed)] for role in Role}
    assert covered == {
        Role.VIEWER: [Role.VIEWER],
        Role.OPERATOR: [Role.VIEWER, Role.OPERATOR],
        Role.ADMIN: [Role.VIEWER, Role.OPERATOR, Role.ADMIN],
    }
