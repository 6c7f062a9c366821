"""The server's services do on PostgreSQL what they do on SQLite: the same tests against a real one."""

from tests.unit.server.files.test_artefacts import *  # noqa: F403
from tests.unit.server.jobs.test_commands import *  # noqa: F403
from tests.unit.server.test_audit import *  # noqa: F403
from tests.unit.server.test_joins import *  # noqa: F403
from tests.unit.server.test_last_uses import *  # noqa: F403
from tests.unit.server.test_logins import *  # noqa: F403
from tests.unit.server.test_modules import *  # noqa: F403
from tests.unit.server.test_nodes import *  # noqa: F403
from tests.unit.server.test_saved_queries import *  # noqa: F403
from tests.unit.server.test_scripts import *  # noqa: F403
from tests.unit.server.test_services import *  # noqa: F403
from tests.unit.server.test_tokens import *  # noqa: F403

del test_no_secret_is_stored  # noqa: F821 - it looks into the SQLite file
