//! What the hub is at the end of an interval, as its API, its process and its log file say, and what we judge of it.

use super::drops::Drops;
use super::fact::ChangeCause;
use super::names;
use super::quantity::{Bytes, Count, Micros, Timestamp};
use super::receipts::{Received, Refused};
use super::record::{record, terms};
use super::text::Text;

terms! {
    /// How one request to the hub's API ended.
    pub enum ApiOutcome {
        /// An answer of the expected form.
        Ok = "ok",
        /// The connection was refused.
        Refused = "refused",
        /// No whole answer in time.
        Timeout = "timeout",
        /// The connection broke before the answer was whole.
        Truncated = "truncated",
        /// TLS could not be agreed on, or the certificate is not trusted.
        Tls = "tls",
        /// The name of the host could not be resolved, or another fault below HTTP.
        Unreachable = "unreachable",
        /// 401 or 403: the hub, or a proxy before it, wants other credentials.
        Denied = "denied",
        /// 404: there is no such path; probably a wrong prefix.
        NotFound = "not_found",
        /// Another 4xx.
        ClientError = "client_error",
        /// A 5xx of a server that fails.
        ServerError = "server_error",
        /// 502, 503 or 504: a proxy answers, and the hub behind it doesn't.
        BadGateway = "bad_gateway",
        /// A redirect, which no hub gives: often to the login page of a proxy.
        Redirected = "redirected",
        /// Another status that no hub gives.
        UnexpectedStatus = "unexpected_status",
        /// Larger than any hub's answer: not read to its end.
        TooLarge = "too_large",
        /// No JSON: a web page, say.
        Unreadable = "unreadable",
        /// JSON, but not what a hub answers: another program's.
        OtherProgram = "other_program",
    }
}

impl ApiOutcome {
    /// Returns whether there was any answer.
    pub const fn answered(self) -> bool {
        !matches!(self, Self::Refused | Self::Timeout | Self::Tls | Self::Unreachable | Self::Truncated)
    }

    /// Returns the failure in words for people, with the next step where there is one.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "it answers",
            Self::Refused => "nothing listens at its address (connection refused)",
            Self::Timeout => "no whole answer within 10 s",
            Self::Truncated => "the connection broke before the answer was whole",
            Self::Tls => "TLS failed: its certificate is not trusted (--ca names an authority), or it speaks no TLS",
            Self::Unreachable => "its address can't be reached: check the host name and the network",
            Self::Denied => "HTTP 401 or 403: the credentials are missing or wrong, give them with --header 'Authorization: ...'",
            Self::NotFound => "HTTP 404: there is no hub under this address, check the path of --hub",
            Self::ClientError => "HTTP 4xx: the request was rejected, as no hub does",
            Self::ServerError => "HTTP 5xx: the server failed",
            Self::BadGateway => "HTTP 502, 503 or 504: a proxy answered, the hub behind it did not",
            Self::Redirected => "HTTP 3xx: a redirect, often to a login page; give the address of the hub itself with --hub",
            Self::UnexpectedStatus => "an HTTP status that no hub gives",
            Self::TooLarge => "an answer larger than 16 MiB, as no hub gives",
            Self::Unreadable => "an answer that is no JSON, such as a web page",
            Self::OtherProgram => "JSON of another program, not of a hub",
        }
    }
}

terms! {
    /// Whether a server works, as judged from more than its claimed status: a crashed server stays `connected` for ever
    /// (`tests/recordings/npm-4.2.1/servers-after-crash.json`).
    pub enum Liveness {
        /// It works, as far as every source shows.
        Up = "up",
        /// It does not work, whatever its status says.
        Down = "down",
        /// It is being started.
        Starting = "starting",
        /// It waits for an authorisation by a user.
        Unauthorized = "unauthorized",
        /// The configuration switched it off.
        Disabled = "disabled",
        /// Nothing at hand says.
        Unknown = "unknown",
        /// The hub's list no longer has it: it was taken out of the configuration.
        Removed = "removed",
    }
}

terms! {
    /// How well a source could be read during the interval. What a source can't show is not visible, never zero.
    pub enum Visibility {
        /// Read up to the end of the interval.
        Read = "read",
        /// Some of it could not be read.
        Partial = "partial",
        /// It is configured, but nothing could be read.
        Missing = "missing",
        /// Nobody asked for it.
        Off = "off",
    }
}

terms! {
    /// In which of its shapes a hub wrote its log (docs/hub.md, "The log").
    pub enum LogShape {
        /// Pino's JSON lines: time, level and checkpoints are in them.
        Pino = "pino",
        /// Bare message text: no time, no level, no checkpoints.
        LegacyFile = "legacy_file",
        /// JSON lines of the console logger: time, level, checkpoints with session ids.
        LegacyStdout = "legacy_stdout",
        /// More than one of them in the interval.
        Mixed = "mixed",
    }
}

record! {
    /// How far each source was read at the end of the interval.
    pub struct Sources {
        /// The API.
        pub polls: Visibility = names::SOURCE_POLLS,
        /// The log file.
        pub log: Visibility = names::SOURCE_LOG,
        /// The shape of the lines read in the interval, if any were.
        pub log_shape: Option<LogShape> = names::SOURCE_LOG_SHAPE,
        /// When the log's end was last reached: everything written before is in this Watch or an earlier one.
        pub log_read_to: Option<Timestamp> = names::SOURCE_LOG_READ_TO,
        /// How much of the log was still unread.
        pub log_behind: Option<Bytes> = names::SOURCE_LOG_BEHIND,
        /// The event stream.
        pub event_stream: Visibility = names::SOURCE_EVENT_STREAM,
        /// Whether a source at hand shows the checkpoint lines, without which no meta-tool call can be seen. Absent while that is
        /// not known: no line that shows the log's shape was read yet.
        pub checkpoints: Option<bool> = names::SOURCE_CHECKPOINTS,
        /// The hub's process.
        pub process: Visibility = names::SOURCE_PROCESS,
        /// Instrumentation in the hub's process: `read` while it tells of itself, `partial` where it lost some of what it saw. Absent
        /// where nothing was received for which it could be told (no receiver runs, or an earlier version wrote this).
        pub instrumentation: Option<Visibility> = names::SOURCE_INSTRUMENTATION,
    }
}

record! {
    /// The API's answers.
    pub struct ApiPoll {
        /// How `GET /api/health` ended.
        pub health: ApiOutcome = names::HEALTH_OUTCOME,
        /// How long it took, to the last byte or the failure.
        pub health_duration: Micros = names::HEALTH_DURATION,
        /// How `GET /api/servers` ended. Absent where it was not asked because the hub did not answer the first request.
        pub servers: Option<ApiOutcome> = names::SERVERS_OUTCOME,
        /// How long that took.
        pub servers_duration: Option<Micros> = names::SERVERS_DURATION,
        /// The hub's own state: `starting`, `ready`, `stopping` … (`status` is the constant `ok`, so it is not kept).
        pub state: Option<Text> = names::HUB_STATE,
        /// The hub's version; a hub run from source does not say.
        pub version: Option<Text> = names::HUB_VERSION,
        /// The hub's process id, from its workspace entry.
        pub pid: Option<u32> = names::HUB_PID,
        /// When the hub's process says that it started.
        pub started: Option<Timestamp> = names::HUB_STARTED,
        /// MCP clients; absent until every server has started or failed.
        pub mcp_clients: Option<u32> = names::HUB_MCP_CLIENTS,
        /// Event-stream subscribers, ourselves excluded.
        pub subscribers: Option<u32> = names::HUB_SUBSCRIBERS,
        /// Tools that the MCP endpoint offers.
        pub tools: Option<u32> = names::HUB_TOOLS,
    }
}

record! {
    /// What `GET /api/filtering/stats` says.
    pub struct FilteringPoll {
        /// How the request ended. `not_found` is the hub's own answer: it has neither this path nor tool filtering nor the meta-tool.
        pub outcome: ApiOutcome = names::FILTERING_OUTCOME,
        /// How long it took.
        pub duration: Micros = names::FILTERING_DURATION,
        /// Whether tools are filtered.
        pub enabled: Option<bool> = names::FILTERING_ENABLED,
        /// How: `prompt-based`, `static` …
        pub mode: Option<Text> = names::FILTERING_MODE,
        /// Tools before filtering.
        pub total: Option<u32> = names::FILTERING_TOTAL,
        /// Tools after filtering.
        pub exposed: Option<u32> = names::FILTERING_EXPOSED,
        /// Hits of the category cache, in thousandths of its lookups.
        pub cache_hits: Option<u32> = names::FILTERING_CACHE_HITS,
        /// Hits of the LLM's cache, in thousandths of its lookups.
        pub llm_cache_hits: Option<u32> = names::FILTERING_LLM_CACHE_HITS,
    }
}

record! {
    /// The hub's process.
    pub struct ProcessPoll {
        /// Its id.
        pub pid: u32 = names::PROCESS_PID,
        /// When it started; with the id, the identity of a process.
        pub started: Timestamp = names::PROCESS_STARTED,
        /// Processor time that it has used since then.
        pub cpu_time: Micros = names::PROCESS_CPU_TIME,
        /// Resident memory.
        pub rss: Bytes = names::PROCESS_RSS,
        /// The limit of its control group, where there is one.
        pub memory_limit: Option<Bytes> = names::PROCESS_MEMORY_LIMIT,
        /// Open file descriptors, where we may look.
        pub fds: Option<u32> = names::PROCESS_FDS,
        /// Threads, where the system says.
        pub threads: Option<u32> = names::PROCESS_THREADS,
        /// Child processes: the stdio servers among them.
        pub children: u32 = names::PROCESS_CHILDREN,
        /// Processors of the host.
        pub host_cpus: u32 = names::HOST_CPUS,
        /// Memory of the host.
        pub host_memory: Bytes = names::HOST_MEMORY,
    }
}

record! {
    /// The log file.
    pub struct LogFilePoll {
        /// Its size.
        pub size: Bytes = names::LOG_SIZE,
        /// Free space of its file system.
        pub disk_free: Option<Bytes> = names::LOG_DISK_FREE,
    }
}

record! {
    /// One server, as claimed and as judged.
    pub struct ServerPoll {
        /// Its name in the hub's configuration.
        pub name: Text = names::SERVER_NAME,
        /// `stdio`, `sse` or `streamable-http`.
        pub transport: Text = names::SERVER_TRANSPORT,
        /// The status that the hub claims.
        pub status: Text = names::SERVER_STATUS,
        /// Whether it works.
        pub liveness: Liveness = names::SERVER_LIVENESS,
        /// Why we think so.
        pub reason: Text = names::SERVER_REASON,
        /// Who or what brought that about, where it is known. Absent in what earlier versions wrote.
        pub cause: Option<ChangeCause> = names::SERVER_CAUSE,
        /// How long the hub says that it has been connected.
        pub uptime: Micros = names::SERVER_UPTIME,
        /// Tools that it offers.
        pub tools: u32 = names::SERVER_TOOLS,
        /// The hub's error text for it.
        pub error: Option<Text> = names::SERVER_ERROR,
        /// Its process, where it was identified among the hub's children.
        pub child_pid: Option<u32> = names::SERVER_CHILD_PID,
        /// When that process started.
        pub child_started: Option<Timestamp> = names::SERVER_CHILD_STARTED,
        /// Its resident memory, that of its own children included.
        pub child_rss: Option<Bytes> = names::SERVER_CHILD_RSS,
        /// Processor time that it and its children have used.
        pub child_cpu_time: Option<Micros> = names::SERVER_CHILD_CPU_TIME,
    }
}

record! {
    /// What was read from the log during the interval, raw: storms are counted line by line here.
    pub struct LogVolume {
        /// Lines.
        pub lines: Count = names::LOG_LINES,
        /// Bytes, line ends included.
        pub bytes: Bytes = names::LOG_BYTES,
        /// Lines of level `debug`.
        pub debug: Count = names::LOG_LINES_DEBUG,
        /// Lines of level `info`.
        pub info: Count = names::LOG_LINES_INFO,
        /// Lines of level `warn`.
        pub warn: Count = names::LOG_LINES_WARN,
        /// Lines of level `error` or `fatal`.
        pub error: Count = names::LOG_LINES_ERROR,
        /// Lines whose shape has no level.
        pub unlevelled: Count = names::LOG_LINES_UNLEVELLED,
        /// Lines that stand behind a storm's count instead of going out one by one.
        pub collapsed: Count = names::LOG_LINES_COLLAPSED,
        /// How long before the interval's end the last line was written; absent before the first.
        pub quiet: Option<Micros> = names::LOG_QUIET,
    }
}

record! {
    /// What the event stream brought during the interval.
    pub struct StreamVolume {
        /// Log lines.
        pub lines: Count = names::STREAM_LINES,
        /// Bytes of these lines.
        pub bytes: Bytes = names::STREAM_BYTES,
        /// The longest time between a line's own time and its arrival here.
        pub max_delay: Option<Micros> = names::STREAM_MAX_DELAY,
    }
}

record! {
    /// What the sidecar itself could not read, keep or send, and what it costs.
    pub struct SidecarPoll {
        /// Lines longer than the limit, cut.
        pub lines_cut: Count = names::SIDECAR_LINES_CUT,
        /// Lines with bytes that are not UTF-8.
        pub bad_utf8: Count = names::SIDECAR_BAD_UTF8,
        /// Bytes of the log that were overwritten before they were read, as far as it is known.
        pub bytes_lost: Bytes = names::SIDECAR_BYTES_LOST,
        /// Answers of the hub that were not what a hub answers.
        pub unreadable_answers: Count = names::SIDECAR_UNREADABLE_ANSWERS,
        /// Rows that wait for a destination.
        pub unsent: Count = names::SIDECAR_UNSENT,
        /// Records that a destination permanently rejected.
        pub rejected: Count = names::SIDECAR_REJECTED,
        /// Size of the journal.
        pub journal: Bytes = names::SIDECAR_JOURNAL_BYTES,
        /// Resident memory of the sidecar.
        pub rss: Option<Bytes> = names::SIDECAR_RSS,
        /// The most that it was since the sidecar's process began, where the system says.
        pub rss_peak: Option<Bytes> = names::SIDECAR_RSS_PEAK,
        /// Processor time that the sidecar used in the interval.
        pub cpu_time: Option<Micros> = names::SIDECAR_CPU_TIME,
        /// Lines that begin as JSON does and are not what a logger writes; they are kept as bare text.
        pub parse_failures: Option<Count> = names::SIDECAR_PARSE_FAILURES,
        /// The longest time from a line's own time until it was read; absent where no line with a time was read. After a time
        /// without a watch it is as long as that time.
        pub lag: Option<Micros> = names::SIDECAR_LAG,
        /// Records that destinations took in the interval; one that two took counts twice. Absent where there is no destination.
        pub sent: Option<Count> = names::SIDECAR_SENT,
        /// When the oldest of what waits for a destination was made; absent where nothing waits.
        pub oldest_unsent: Option<Timestamp> = names::SIDECAR_OLDEST_UNSENT,
        /// What had to be dropped, as far as it became known in the interval.
        pub dropped: Drops = names::SIDECAR_DROPPED,
        /// Records that others sent by OTLP and that are in the journal, each once. Absent where no receiver runs.
        pub received: Received = names::SIDECAR_RECEIVED,
        /// Records that the OTLP receiver refused, and requests that it refused as a whole. Absent where no receiver runs.
        pub refused: Refused = names::SIDECAR_REFUSED,
    }
}

/// What the hub is at the end of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Poll {
    /// The API's answers.
    pub api: ApiPoll,
    /// The hub's process, where it can be seen.
    #[cfg_attr(test, proptest(strategy = "proptest::option::of(proptest::arbitrary::any::<ProcessPoll>())"))]
    pub process: Option<ProcessPoll>,
    /// The log file, where there is one.
    pub log_file: Option<LogFilePoll>,
    /// The tool filtering, where the hub was asked for it and the answer was the hub's own.
    #[cfg_attr(test, proptest(strategy = "proptest::option::of(proptest::arbitrary::any::<FilteringPoll>())"))]
    pub filtering: Option<FilteringPoll>,
    /// The servers of the last answer; empty when there was none.
    #[cfg_attr(test, proptest(strategy = "proptest::collection::vec(proptest::arbitrary::any::<ServerPoll>(), 0..4)"))]
    pub servers: Vec<ServerPoll>,
}

/// An interval in which nothing was read from the log.
impl Default for LogVolume {
    fn default() -> Self {
        let none = Count::new(0);
        Self {
            lines: none,
            bytes: Bytes::new(0),
            debug: none,
            info: none,
            warn: none,
            error: none,
            unlevelled: none,
            collapsed: none,
            quiet: None,
        }
    }
}

/// A sidecar that lost nothing.
impl Default for SidecarPoll {
    fn default() -> Self {
        let none = Count::new(0);
        Self {
            lines_cut: none,
            bad_utf8: none,
            bytes_lost: Bytes::new(0),
            unreadable_answers: none,
            unsent: none,
            rejected: none,
            journal: Bytes::new(0),
            rss: None,
            rss_peak: None,
            cpu_time: None,
            parse_failures: None,
            lag: None,
            sent: None,
            oldest_unsent: None,
            dropped: Drops::default(),
            received: Received::default(),
            refused: Refused::default(),
        }
    }
}

impl SidecarPoll {
    /// Takes out the counts, which belong to one Watch only; gauges stay.
    #[must_use]
    pub fn take_counts(&mut self) -> Self {
        let stand = Self {
            unsent: self.unsent,
            journal: self.journal,
            rss: self.rss,
            rss_peak: self.rss_peak,
            oldest_unsent: self.oldest_unsent,
            ..Self::default()
        };
        std::mem::replace(self, stand)
    }
}
