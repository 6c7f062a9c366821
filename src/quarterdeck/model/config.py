"""Configuration: the shape of the TOML files, the `QD_*` environment and the flags. Reading them is the CLI's work."""

from __future__ import annotations

from quarterdeck.model.extensions import ExtensionConfig
from quarterdeck.model.processes import UsualSettings
from quarterdeck.model.stats import StatsConfig
from quarterdeck.model.struct import Struct

DEFAULT_HTTP = "127.0.0.1:8420"
DEFAULT_LINK = "127.0.0.1:8421"


class OutboxConfig(Struct, frozen=True, kw_only=True):
    """The agent's buffer between its collectors and the server."""

    memory_bytes: int = 32 * 1024 * 1024  #: what waits in memory at most; more spills to disk
    disk_bytes: int = 512 * 1024 * 1024  #: what waits on disk at most; what comes then is lost as `queue_full`
    max_age_s: float = 24 * 3600.0  #: spilled batches older than this are dropped and counted as `too_old`


class JobsConfig(Struct, frozen=True, kw_only=True):
    """What a node lets jobs do. The server cannot override it."""

    allow: tuple[str, ...] = ("*",)  #: patterns of the commands that may run here, as `get_*_info`; others are REFUSED
    max_jobs: int = 100  #: jobs that run at one time; further ones wait for their turn


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Everything an agent can be told. Environment: `QD_AGENT_…` for each key; `QD_HOME`, `QD_LINK`."""

    home: str = ""  #: data folder; default: /var/lib/quarterdeck of root, else quarterdeck in the user's data folder
    server: str = DEFAULT_LINK  #: the server's link address: host:port, or https://host:port/prefix
    token: str = ""  #: join token; needed until the node has joined, ignored afterwards
    name: str = ""  #: node name; default: the host name
    labels: dict[str, str] = {}  #: they win over labels of the same name that the server gives
    heartbeat_s: float = 10.0  #: how often the agent says that it lives
    stats_interval_s: float = 10.0  #: how often it reports what its modules cost
    flush_interval_s: float = 0.5  #: how long rows may wait for more before they leave as a batch
    end_processes: bool = False  #: whether the programs it runs end with it, as under `qd up`; else they go on
    outbox: OutboxConfig = OutboxConfig()
    stats: StatsConfig = StatsConfig()
    processes: UsualSettings = UsualSettings()  #: what programs are not told otherwise
    jobs: JobsConfig = JobsConfig()
    extensions: dict[str, ExtensionConfig] = {}  #: commands that this node has on top, by their names


class ServerConfig(Struct, frozen=True, kw_only=True):
    """Everything a server can be told.

    Environment: `QD_SERVER_…` for each key; `QD_HOME`, `QD_HTTP`, `QD_LINK`, `QD_REDIS`.
    """

    home: str = ""  #: data folder; default: /var/lib/quarterdeck of root, else quarterdeck in the user's data folder
    http: str = DEFAULT_HTTP  #: where the API listens, host:port; port 0 takes a free one
    link: str = DEFAULT_LINK  #: where agents connect, host:port
    link_https: str = ""  #: where agents connect whose network lets only HTTPS through, host:port; default: nowhere
    names: tuple[str, ...] = ()  #: further host names and addresses for the server's certificate
    state_url: str = ""  #: SQLAlchemy URL; default: SQLite below `home`
    telemetry_url: str = ""  #: "http(s)://…" of a ClickHouse server; default: embedded chDB below `home`
    gid: int = 1  #: grid of nodes whose join token names none
    offline_after_s: float = 30.0  #: silence after which an agent is OFFLINE
    certificate_days: int = 30  #: how long an agent's certificate is valid; it renews itself before
    insert_interval_s: float = 0.25  #: how long batches wait for others before they are inserted together
    insert_rows: int = 250_000  #: rows that are inserted at once without waiting
    query_memory_bytes: int = 1_000_000_000  #: memory one query may use
    store_memory_bytes: int = 1_000_000_000  #: memory the embedded store may use
    live_streams: int = 100  #: live streams (server-sent events) that one API token may have open; more are refused
    audit_entries: int = 100_000  #: newest entries of the audit log that are kept
    commands_kept: int = 10_000  #: newest commands that are over and kept, with their jobs and results
    files_bytes: int = 10 * 1024**3  #: what files may take on disk; the longest unused make room for others
    files_keep_s: float = 7 * 86400.0  #: a file that was not used for so long is removed
    redis: str = ""  #: URL of a Redis from which commands are taken, redis://:password@host:6379/0; default: none
    redis_results_s: float = 86400.0  #: how long a result waits in Redis for whoever asked
    redis_log_messages: int = 1000  #: newest messages that each list of messages in Redis holds
    redis_log_s: float = 7 * 86400.0  #: a list of messages that got none for so long is removed from Redis
    modules: str = ""  #: folder of built-in modules; default: those in the package
