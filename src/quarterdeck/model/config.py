"""Configuration: the shape of the TOML files, the `QD_*` environment and the flags. The CLI reads them."""

from __future__ import annotations

from quarterdeck.model.durations import Seconds
from quarterdeck.model.extensions import ExtensionConfig
from quarterdeck.model.processes import UsualSettings
from quarterdeck.model.stats import StatsConfig
from quarterdeck.model.struct import Struct
from quarterdeck.model.usage import UsageConfig

DEFAULT_HTTP = "127.0.0.1:8420"
DEFAULT_LINK = "127.0.0.1:8421"


class OutboxConfig(Struct, frozen=True, kw_only=True):
    """The agent's buffer between its collectors and the server."""

    memory_bytes: int = 32 * 1024 * 1024  #: size of the buffer in memory; more is written to disk
    disk_bytes: int = 512 * 1024 * 1024  #: size of the buffer on disk; further batches are lost as `queue_full`
    max_age_s: Seconds = 24 * 3600.0  #: spilled batches older than this are dropped and counted as `too_old`


class JobsConfig(Struct, frozen=True, kw_only=True):
    """Restrictions of jobs on a node. The server cannot override them."""

    allow: tuple[str, ...] = ("*",)  #: patterns of allowed commands, such as `get_*_info`; others are REFUSED
    max_jobs: int = 100  #: number of jobs that run at the same time; further ones wait


class AgentConfig(Struct, frozen=True, kw_only=True):
    """The configuration of an agent. Environment: `QD_AGENT_…` for each key; `QD_HOME`, `QD_LINK`."""

    home: str = ""  #: data folder; default: /var/lib/quarterdeck for root, else quarterdeck in the user's data folder
    server: str = DEFAULT_LINK  #: link address of the server: host:port, or https://host:port/prefix
    token: str = ""  #: join token; needed until the node has joined, ignored afterwards
    name: str = ""  #: node name; default: the host name
    #: labels that the agent claims when it joins, and later as far as its join token allows
    labels: dict[str, str] = {}
    heartbeat_s: Seconds = 10.0  #: interval of heartbeats
    stats_interval_s: Seconds = 10.0  #: interval of reports about the cost of modules
    flush_interval_s: Seconds = 0.5  #: how long rows wait for more rows before they are sent as a batch
    end_processes: bool = False  #: end programs when the agent stops, as `qd up` does; by default they keep running
    outbox: OutboxConfig = OutboxConfig()
    stats: StatsConfig = StatsConfig()
    usage: UsageConfig = UsageConfig()
    processes: UsualSettings = UsualSettings()  #: defaults of programs
    jobs: JobsConfig = JobsConfig()
    extensions: dict[str, ExtensionConfig] = {}  #: custom commands of this node, by name


class LinkConfig(Struct, frozen=True, kw_only=True):
    """The server's listeners for agents."""

    address: str = DEFAULT_LINK  #: where agents connect, host:port
    https: str = ""  #: where agents connect whose network allows only HTTPS, host:port; default: nowhere
    names: tuple[str, ...] = ()  #: further host names and addresses for the server's certificate
    offline_after_s: Seconds = 30.0  #: silence after which an agent is OFFLINE
    certificate_days: int = 30  #: how long an agent's certificate is valid; it is renewed before


class IngestConfig(Struct, frozen=True, kw_only=True):
    """Settings of how batches of telemetry are combined into inserts."""

    interval_s: Seconds = 0.25  #: how long a batch waits for others before they are inserted together
    rows: int = 250_000  #: this many rows are inserted at once without waiting


class CommandsConfig(Struct, frozen=True, kw_only=True):
    """Settings of commands and their jobs on the server."""

    expires_s: Seconds = 3600.0  #: how long a command without an expiry waits for offline nodes; 0: without limit
    kept: int = 10_000  #: number of newest finished commands that are kept, with their jobs and results


class FilesConfig(Struct, frozen=True, kw_only=True):
    """Settings of the files that the server stores for nodes and from nodes."""

    max_bytes: int = 10 * 1024**3  #: disk space of all files; the files unused for the longest time are removed first
    keep_s: Seconds = 7 * 86400.0  #: a file that was not used for this time is removed


class RedisConfig(Struct, frozen=True, kw_only=True):
    """A Redis from which the server takes commands, and to which it sends results and messages."""

    url: str = ""  #: redis://:password@host:6379/0; default: none
    results_s: Seconds = 86400.0  #: how long results stay in Redis
    log_messages: int = 1000  #: number of newest messages in each list
    log_s: Seconds = 7 * 86400.0  #: a list without new messages is removed after this time


class ServerConfig(Struct, frozen=True, kw_only=True):
    """The configuration of a server.

    Environment: `QD_SERVER_…` for each key; `QD_HOME`, `QD_HTTP`, `QD_LINK`, `QD_REDIS`.
    """

    home: str = ""  #: data folder; default: /var/lib/quarterdeck for root, else quarterdeck in the user's data folder
    http: str = DEFAULT_HTTP  #: where the API listens, host:port; port 0 uses a free one
    #: further host names in the addresses with which clients and browsers reach the API; others are refused
    http_names: tuple[str, ...] = ()
    state_url: str = ""  #: SQLAlchemy URL; default: SQLite in `home`
    telemetry_url: str = ""  #: "http(s)://…" of a ClickHouse server; default: embedded chDB in `home`
    gid: int = 1  #: grid of nodes whose join token sets none
    query_memory_bytes: int = 1_000_000_000  #: memory of one query; at most 3/4 of the embedded store's
    store_memory_bytes: int = 1_000_000_000  #: memory of the embedded store; at most 3/10 of the server's
    live_streams: int = 100  #: open live streams (server-sent events) of one API token; further ones are refused
    audit_entries: int = 100_000  #: number of newest audit entries that are kept
    modules: str = ""  #: folder of built-in modules; default: those in the package
    link: LinkConfig = LinkConfig()
    ingest: IngestConfig = IngestConfig()
    commands: CommandsConfig = CommandsConfig()
    files: FilesConfig = FilesConfig()
    redis: RedisConfig = RedisConfig()
