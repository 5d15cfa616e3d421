//! Every name that goes out. OpenTelemetry's where it has one, `mcphub.*` for what a hub and its watch add.
//!
//! The GenAI and MCP conventions are *in development* and left OpenTelemetry's core in its version 1.42; the names here are those
//! of core 1.41.1, which SDKs and dashboards know. This module is the only place to change when they move.

#![expect(missing_docs, reason = "a name's meaning stands at the field that it names, and in docs/telemetry.md")]

/// The schema of the attributes that come from OpenTelemetry's core conventions.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.0";
/// The instrumentation scope of everything that hubwatch says about a hub.
pub const SCOPE: &str = "hubwatch";

// Resource.
/// Whose telemetry it is: `mcp-hub` for a hub, `hubwatch` for the sidecar itself.
pub const SERVICE_NAME: &str = "service.name";
/// The hub's name; of the sidecar's own figures the watcher.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// The build under test; of the sidecar its own version.
pub const SERVICE_VERSION: &str = "service.version";
/// Where the hub runs, such as `staging`.
pub const DEPLOYMENT_ENVIRONMENT_NAME: &str = "deployment.environment.name";
/// `service.name` of every watched hub.
pub const HUB_SERVICE: &str = "mcp-hub";
/// The service name of the sidecar itself.
pub const OWN_SERVICE: &str = "hubwatch";

// The watch span.
/// The name of the span that a Watch is.
pub const WATCH_SPAN: &str = "hub.watch";
/// (int) The version of this table.
pub const WATCH_SCHEMA: &str = "mcphub.watch.schema";
pub const WATCH_HUB: &str = "mcphub.watch.hub";
pub const WATCH_ENVIRONMENT: &str = "mcphub.watch.environment";
pub const WATCH_WATCHER: &str = "mcphub.watch.watcher";
pub const WATCH_RUN: &str = "mcphub.watch.run";
pub const WATCH_SEQUENCE: &str = "mcphub.watch.sequence";
pub const WATCH_PART: &str = "mcphub.watch.part";
pub const WATCH_TOOL_VERSION: &str = "mcphub.watch.tool_version";
pub const WATCH_BUILD: &str = "mcphub.watch.build";
pub const WATCH_INTERVAL: &str = "mcphub.watch.interval_us";
/// (bool) Whether the interval ended with a poll.
pub const WATCH_POLLED: &str = "mcphub.watch.polled";
/// (int) How many events the span was written with: a backend that keeps fewer is noticed.
pub const WATCH_EVENTS: &str = "mcphub.watch.events";
/// (int) The place of an event among those of its span.
pub const EVENT_INDEX: &str = "mcphub.event.index";

// How far each source was read.
pub const SOURCE_POLLS: &str = "mcphub.source.polls";
pub const SOURCE_LOG: &str = "mcphub.source.log";
pub const SOURCE_LOG_SHAPE: &str = "mcphub.source.log.shape";
pub const SOURCE_LOG_READ_TO: &str = "mcphub.source.log.read_to_us";
pub const SOURCE_LOG_BEHIND: &str = "mcphub.source.log.behind_bytes";
pub const SOURCE_EVENT_STREAM: &str = "mcphub.source.event_stream";
pub const SOURCE_CHECKPOINTS: &str = "mcphub.source.checkpoints";
pub const SOURCE_PROCESS: &str = "mcphub.source.process";
pub const SOURCE_INSTRUMENTATION: &str = "mcphub.source.instrumentation";

// The poll: the hub as its API says it is.
/// How a request of the watch to the hub's API ended.
pub const API_OUTCOME: &str = "mcphub.api.outcome";
pub const HEALTH_OUTCOME: &str = "mcphub.api.health.outcome";
pub const HEALTH_DURATION: &str = "mcphub.api.health.duration_us";
pub const SERVERS_OUTCOME: &str = "mcphub.api.servers.outcome";
pub const SERVERS_DURATION: &str = "mcphub.api.servers.duration_us";
pub const HUB_STATE: &str = "mcphub.state";
pub const HUB_VERSION: &str = "mcphub.version";
pub const HUB_PID: &str = "mcphub.pid";
pub const HUB_STARTED: &str = "mcphub.started_us";
pub const HUB_MCP_CLIENTS: &str = "mcphub.mcp.clients";
pub const HUB_SUBSCRIBERS: &str = "mcphub.event_stream.subscribers";
pub const HUB_TOOLS: &str = "mcphub.tools";

// The poll: the hub's process.
pub const PROCESS_PID: &str = "process.pid";
pub const PROCESS_STARTED: &str = "mcphub.process.started_us";
pub const PROCESS_CPU_TIME: &str = "mcphub.process.cpu_time_us";
pub const PROCESS_RSS: &str = "process.memory.usage";
pub const PROCESS_MEMORY_LIMIT: &str = "mcphub.process.memory_limit";
pub const PROCESS_FDS: &str = "process.unix.file_descriptor.count";
pub const PROCESS_THREADS: &str = "process.thread.count";
pub const PROCESS_CHILDREN: &str = "mcphub.process.children";
pub const HOST_CPUS: &str = "mcphub.host.cpus";
pub const HOST_MEMORY: &str = "mcphub.host.memory";

// The poll: what the fork's tool filtering says of itself.
pub const FILTERING_OUTCOME: &str = "mcphub.api.filtering.outcome";
pub const FILTERING_DURATION: &str = "mcphub.api.filtering.duration_us";
pub const FILTERING_ENABLED: &str = "mcphub.filtering.enabled";
pub const FILTERING_MODE: &str = "mcphub.filtering.mode";
pub const FILTERING_TOTAL: &str = "mcphub.filtering.tools.total";
pub const FILTERING_EXPOSED: &str = "mcphub.filtering.tools.exposed";
pub const FILTERING_CACHE_HITS: &str = "mcphub.filtering.cache_hits_permille";
pub const FILTERING_LLM_CACHE_HITS: &str = "mcphub.filtering.llm_cache_hits_permille";

// The poll: the log file.
pub const LOG_SIZE: &str = "mcphub.log.size";
pub const LOG_DISK_FREE: &str = "mcphub.log.disk_free";

// What was read from the log in the interval.
pub const LOG_LINES: &str = "mcphub.log.lines";
pub const LOG_BYTES: &str = "mcphub.log.bytes";
pub const LOG_LINES_DEBUG: &str = "mcphub.log.lines.debug";
pub const LOG_LINES_INFO: &str = "mcphub.log.lines.info";
pub const LOG_LINES_WARN: &str = "mcphub.log.lines.warn";
pub const LOG_LINES_ERROR: &str = "mcphub.log.lines.error";
pub const LOG_LINES_UNLEVELLED: &str = "mcphub.log.lines.unlevelled";
pub const LOG_LINES_COLLAPSED: &str = "mcphub.log.lines.collapsed";
pub const LOG_QUIET: &str = "mcphub.log.quiet_us";

// What was read from the event stream in the interval.
pub const STREAM_LINES: &str = "mcphub.event_stream.lines";
pub const STREAM_BYTES: &str = "mcphub.event_stream.bytes";
pub const STREAM_MAX_DELAY: &str = "mcphub.event_stream.max_delay_us";

// What the sidecar lost or could not read.
pub const SIDECAR_LINES_CUT: &str = "mcphub.sidecar.lines_cut";
pub const SIDECAR_BAD_UTF8: &str = "mcphub.sidecar.bad_utf8";
pub const SIDECAR_BYTES_LOST: &str = "mcphub.sidecar.bytes_lost";
pub const SIDECAR_UNREADABLE_ANSWERS: &str = "mcphub.sidecar.unreadable_answers";
pub const SIDECAR_UNSENT: &str = "mcphub.sidecar.unsent";
pub const SIDECAR_REJECTED: &str = "mcphub.sidecar.rejected";
pub const SIDECAR_JOURNAL_BYTES: &str = "mcphub.sidecar.journal_bytes";
pub const SIDECAR_RSS: &str = "mcphub.sidecar.rss";
pub const SIDECAR_RSS_PEAK: &str = "mcphub.sidecar.rss_peak";
pub const SIDECAR_CPU_TIME: &str = "mcphub.sidecar.cpu_time_us";
pub const SIDECAR_PARSE_FAILURES: &str = "mcphub.sidecar.parse_failures";
pub const SIDECAR_LAG: &str = "mcphub.sidecar.lag_us";
pub const SIDECAR_SENT: &str = "mcphub.sidecar.sent";
pub const SIDECAR_OLDEST_UNSENT: &str = "mcphub.sidecar.oldest_unsent_us";
/// Continued by what was dropped and why: `mcphub.sidecar.dropped.logs.size`.
pub const SIDECAR_DROPPED: &str = "mcphub.sidecar.dropped";
/// In the metrics: what was dropped.
pub const DROPPED_KIND: &str = "mcphub.sidecar.dropped.kind";
/// In the metrics: why.
pub const DROP_REASON: &str = "mcphub.sidecar.dropped.reason";

/// Continued by what was received and how: `mcphub.sidecar.received.spans.grpc`.
pub const SIDECAR_RECEIVED: &str = "mcphub.sidecar.received";
/// Continued by what was refused and why: `mcphub.sidecar.refused.spans.invalid_id`.
pub const SIDECAR_REFUSED: &str = "mcphub.sidecar.refused";

// The labels of the receiver's metrics, as the OpenTelemetry Collector has them.
/// The receiver.
pub const RECEIVER: &str = "receiver";
/// The name of the only one.
pub const RECEIVER_OTLP: &str = "otlp";
/// How the records were sent: `grpc` or `http`.
pub const RECEIVER_TRANSPORT: &str = "transport";
/// Why they were refused.
pub const RECEIVER_REASON: &str = "reason";

// A server's event.
/// The name of the event that each server at a poll is.
pub const SERVER_EVENT: &str = "mcphub.server";
pub const SERVER_NAME: &str = "mcphub.server.name";
pub const SERVER_TRANSPORT: &str = "mcphub.server.transport";
pub const SERVER_STATUS: &str = "mcphub.server.status";
pub const SERVER_LIVENESS: &str = "mcphub.server.liveness";
pub const SERVER_REASON: &str = "mcphub.server.reason";
pub const SERVER_CAUSE: &str = "mcphub.server.cause";
pub const SERVER_UPTIME: &str = "mcphub.server.uptime_us";
pub const SERVER_TOOLS: &str = "mcphub.server.tools";
pub const SERVER_ERROR: &str = "mcphub.server.error";
pub const SERVER_CHILD_PID: &str = "mcphub.server.child_pid";
pub const SERVER_CHILD_STARTED: &str = "mcphub.server.child_started_us";
pub const SERVER_CHILD_RSS: &str = "mcphub.server.child_rss";
pub const SERVER_CHILD_CPU_TIME: &str = "mcphub.server.child_cpu_time_us";

// Facts.
/// The id of what happened: the same however often it is read or sent.
pub const FACT_ID: &str = "mcphub.fact.id";
/// What showed it.
pub const FACT_SOURCE: &str = "mcphub.fact.source";
/// (int, µs since 1970) When it happened, where that is not the time of the event: it was learned late.
pub const FACT_AT: &str = "mcphub.fact.at_us";
/// (int, µs since 1970) It happened not before this.
pub const FACT_EARLIEST: &str = "mcphub.fact.earliest_us";
pub const FACT_AMENDED: &str = "mcphub.fact.amended_id";
/// The half of the state that was lost.
pub const STATE_HALF: &str = "hubwatch.state.half";
/// (int, µs since 1970) It happened not after this.
pub const FACT_LATEST: &str = "mcphub.fact.latest_us";
pub const FROM: &str = "mcphub.from";
pub const TO: &str = "mcphub.to";
pub const REASON: &str = "mcphub.reason";
pub const CAUSE: &str = "mcphub.cause";
pub const CHANGE_CAUSE: &str = "mcphub.server.change.cause";
pub const CLAIM: &str = "mcphub.claim";
pub const CLAIM_REFUSAL: &str = "mcphub.claim.refusal";
pub const SHARED_SIGN: &str = "mcphub.log.shared.sign";
pub const SIGNAL: &str = "mcphub.signal";
pub const RESTARTED: &str = "mcphub.restarted";
pub const CLIENT_NAME: &str = "mcphub.client.name";
pub const SESSION: &str = "mcphub.session";
pub const GEMINI_FAILURE: &str = "mcphub.gemini.failure";
pub const LINE: &str = "mcphub.line";
pub const TEMPLATE: &str = "mcphub.line.template";
pub const LEVEL: &str = "mcphub.line.level";
pub const COUNT: &str = "mcphub.count";
pub const BYTES: &str = "mcphub.bytes";
pub const FIRST: &str = "mcphub.first_us";
pub const LAST: &str = "mcphub.last_us";
pub const PATH: &str = "mcphub.path";
pub const JUMP: &str = "mcphub.clock.jump_us";
/// (int, µs) For how long the sidecar's process stood still.
pub const STOOD_STILL: &str = "mcphub.watcher.stood_still_us";
pub const RESUMED: &str = "mcphub.watcher.resumed";
pub const MARK: &str = "mcphub.mark";
pub const SCENARIO: &str = "mcphub.scenario";
pub const SCENARIO_RUN: &str = "mcphub.scenario.run";
pub const SCENARIO_SEQUENCE: &str = "mcphub.scenario.sequence";
pub const CHECK: &str = "mcphub.scenario.check";
pub const CHECK_TITLE: &str = "mcphub.scenario.check.title";
pub const CHECK_VERDICT: &str = "mcphub.scenario.check.verdict";
pub const KNOWN_DEFECT: &str = "mcphub.scenario.known_defect";
pub const SCENARIO_TRACE: &str = "mcphub.scenario.trace_id";
pub const MEASURED: &str = "mcphub.scenario.measured";
pub const MEASURED_FAILED: &str = "mcphub.scenario.measured.failed";
pub const MEASURED_SUM: &str = "mcphub.scenario.measured.sum_us";
pub const MEASURED_P50: &str = "mcphub.scenario.measured.p50_us";
pub const MEASURED_P95: &str = "mcphub.scenario.measured.p95_us";
pub const MEASURED_P99: &str = "mcphub.scenario.measured.p99_us";
pub const MEASURED_MAX: &str = "mcphub.scenario.measured.max_us";
pub const DETAIL: &str = "mcphub.detail";
pub const RULE: &str = "mcphub.rule";
pub const CATEGORIES: &str = "mcphub.categories";
pub const CATEGORIES_ADDED: &str = "mcphub.categories.added";
pub const TOOL: &str = "mcphub.tool";
pub const CATEGORY: &str = "mcphub.category";
pub const ERROR: &str = "mcphub.error";
pub const MEANS: &str = "mcphub.means";
pub const TOOL_OUTCOME: &str = "mcphub.tool.outcome";
pub const OPERATION_STARTED: &str = "mcphub.operation.started_us";
pub const OPERATION_DURATION: &str = "mcphub.operation.duration_us";
pub const OPERATION_SUM: &str = "mcphub.operation.sum_us";
pub const OPERATION_MAX: &str = "mcphub.operation.max_us";
pub const OPERATION_DURATIONS: &str = "mcphub.operation.durations";
pub const OPERATION_TRACE: &str = "mcphub.operation.trace_id";
/// The event of a scenario's span for a step that was judged.
pub const SCENARIO_CHECKED: &str = "hubwatch.scenario.checked";
pub const LLM_PROVIDER: &str = "mcphub.llm.provider";
pub const LLM_MODEL: &str = "mcphub.llm.model";
pub const LLM_OUTCOME: &str = "mcphub.llm.outcome";
pub const LLM_STATUS: &str = "mcphub.llm.status";
pub const LLM_RETRY: &str = "mcphub.llm.retry";
pub const LLM_RETRIES: &str = "mcphub.llm.retries";
pub const LLM_WITH_TOKENS: &str = "mcphub.llm.with_tokens";
pub const LLM_INPUT_TOKENS: &str = "mcphub.llm.tokens.input";
pub const LLM_OUTPUT_TOKENS: &str = "mcphub.llm.tokens.output";
pub const LLM_REASONING_TOKENS: &str = "mcphub.llm.tokens.reasoning";
pub const LLM_INPUT_SIZES: &str = "mcphub.llm.tokens.input.sizes";
pub const LLM_OUTPUT_SIZES: &str = "mcphub.llm.tokens.output.sizes";
pub const SERVERS_UP: &str = "mcphub.servers.up";
pub const SERVERS_TOTAL: &str = "mcphub.servers.total";

// A meta-tool call, as a fact.
pub const CALL_STARTED: &str = "mcphub.call.started_us";
pub const CALL_DURATION: &str = "mcphub.call.duration_us";
pub const CALL_OUTCOME: &str = "mcphub.call.outcome";
pub const CALL_PAIRING: &str = "mcphub.call.pairing";
pub const CALL_IN_FLIGHT: &str = "mcphub.call.in_flight";
pub const CALL_GEMINI: &str = "mcphub.call.gemini.outcome";
pub const CALL_GEMINI_DURATION: &str = "mcphub.call.gemini.duration_us";
pub const CALL_GEMINI_FAILED_ROUNDS: &str = "mcphub.call.gemini.failed_rounds";
pub const CALL_NOTIFICATION: &str = "mcphub.call.notification";
pub const CALL_TRACE: &str = "mcphub.call.trace_id";
pub const CALL_CATEGORIES: &str = "mcphub.call.categories";
pub const CALL_CATEGORIES_KNOWN: &str = "mcphub.call.categories.known";
pub const CALL_CATEGORIES_ADDED: &str = "mcphub.call.categories.added";
pub const CALL_CONFIDENCE: &str = "mcphub.call.confidence_permille";
pub const CALL_RESPONSE_COMPLETE: &str = "mcphub.call.response.complete";

// A meta-tool call, as its own trace.
/// The meta-tool's name.
pub const META_TOOL: &str = "hub__analyze_prompt";
/// The MCP method that a call is of.
pub const MCP_METHOD_NAME: &str = "mcp.method.name";
/// The method of a call.
pub const MCP_TOOLS_CALL: &str = "tools/call";
/// The meta-tool.
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// What the operation is.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// The operation that a meta-tool call is.
pub const GEN_AI_EXECUTE_TOOL: &str = "execute_tool";
/// The operation that its Gemini part is.
pub const GEN_AI_GENERATE_CONTENT: &str = "generate_content";
/// Whose model it is.
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The provider of the Gemini part.
pub const GEN_AI_GEMINI: &str = "gcp.gemini";
/// The model that the hub says it uses.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// Whether tokens are those of a prompt or of an answer.
pub const GEN_AI_TOKEN_TYPE: &str = "gen_ai.token.type";
/// What went wrong; absent where nothing did.
pub const ERROR_TYPE: &str = "error.type";
/// `error.type` of a tool call that ended in an error.
pub const TOOL_ERROR: &str = "tool_error";
/// Of our own requests to the hub's API.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";

// What the instrumentation beside a hub's code sends (instrument/node/hubwatch.mjs); docs/instrumentation.md describes it.
/// Its instrumentation scope.
pub const INSTRUMENTATION_SCOPE: &str = "hubwatch-instrument";
/// The session of a tool call. A live credential until the receiver has hashed it.
pub const MCP_SESSION_ID: &str = "mcp.session.id";
/// The JSON-RPC id of a tool call, as text.
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
/// The JSON-RPC error code of a tool call, as text.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// `tcp`.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// `http`.
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// The path of the request that was the tool call.
pub const HTTP_ROUTE: &str = "http.route";
/// (int, bytes) The size of that request's body.
pub const HTTP_REQUEST_BODY_SIZE: &str = "http.request.body.size";
/// (int, bytes) The size of the answer to the tool call.
pub const HTTP_RESPONSE_BODY_SIZE: &str = "http.response.body.size";
/// (int) The status of a model's answer.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// (int) How many attempts of the same call to a model came before.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// The host of a model.
pub const SERVER_ADDRESS: &str = "server.address";
/// The model that answered.
pub const GEN_AI_RESPONSE_MODEL: &str = "gen_ai.response.model";
/// (strings) Why it stopped.
pub const GEN_AI_RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// (int) Tokens of the request.
pub const GEN_AI_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// (int) Tokens of the answer, those of its reasoning included.
pub const GEN_AI_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// (int) Tokens of its reasoning.
pub const GEN_AI_REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// (bool) A fault was injected, so that this is no failure of a model.
pub const INJECTED: &str = "hubwatch.injected";
/// The spans that the instrumentation delivered; with `error.type` those that it lost.
pub const METRIC_SPANS_PROCESSED: &str = "otel.sdk.processor.span.processed";
/// Requests that may have been tool calls and could not be followed.
pub const METRIC_NOT_UNDERSTOOD: &str = "hubwatch.instrument.not_understood";

// Log records.
/// The same however often a line is read or sent.
pub const LOG_RECORD_UID: &str = "log.record.uid";
/// The file that the line stands in.
pub const LOG_FILE_NAME: &str = "log.file.name";
/// The whole line, where its message is less.
pub const LOG_RECORD_ORIGINAL: &str = "log.record.original";
/// (int, bytes) How long a line was that had to be cut.
pub const LOG_TRUNCATED: &str = "mcphub.log.record.cut_from_bytes";
/// (bool) Whether the line had bytes that are not UTF-8.
pub const LOG_BAD_UTF8: &str = "mcphub.log.record.bad_utf8";
/// (int) How many lines stand behind a storm.
pub const STORM_COUNT: &str = "mcphub.storm.count";
/// (int, bytes) How many bytes these are.
pub const STORM_BYTES: &str = "mcphub.storm.bytes";
/// `event_name` of the one record that stands for the rest of a storm.
pub const STORM_EVENT: &str = "mcphub.storm";

// Metrics.
pub const METRIC_HUB_UP: &str = "mcphub.up";
pub const METRIC_SERVER_UP: &str = "mcphub.server.up";
pub const METRIC_SERVER_EXPECTED: &str = "mcphub.server.expected";
pub const METRIC_PLANNED: &str = "mcphub.planned";
pub const METRIC_SERVER_TOOLS: &str = "mcphub.server.tools";
pub const METRIC_SERVER_MEMORY: &str = "mcphub.server.memory.usage";
pub const METRIC_SERVER_CPU_TIME: &str = "mcphub.server.cpu.time";
pub const METRIC_MCP_CLIENTS: &str = "mcphub.mcp.clients";
pub const METRIC_SUBSCRIBERS: &str = "mcphub.event_stream.subscribers";
pub const METRIC_TOOLS: &str = "mcphub.tools";
pub const METRIC_LOG_LINES: &str = "mcphub.log.lines";
pub const METRIC_LOG_BYTES: &str = "mcphub.log.bytes";
pub const METRIC_LOG_SIZE: &str = "mcphub.log.size";
pub const METRIC_LOG_DISK_FREE: &str = "mcphub.log.disk_free";
pub const METRIC_HTTP_DURATION: &str = "http.client.request.duration";
pub const METRIC_CALL_DURATION: &str = "mcp.server.operation.duration";
pub const METRIC_GEMINI_DURATION: &str = "gen_ai.client.operation.duration";
pub const METRIC_TOKENS: &str = "gen_ai.client.token.usage";
pub const METRIC_PROCESS_CPU_TIME: &str = "process.cpu.time";
pub const METRIC_PROCESS_CPU_UTILIZATION: &str = "process.cpu.utilization";
pub const METRIC_PROCESS_MEMORY: &str = "process.memory.usage";
pub const METRIC_PROCESS_MEMORY_UTILIZATION: &str = "process.memory.utilization";
pub const METRIC_PROCESS_THREADS: &str = "process.thread.count";
pub const METRIC_PROCESS_FDS: &str = "process.unix.file_descriptor.count";
pub const METRIC_SIDECAR_LAG: &str = "mcphub.sidecar.lag";
pub const METRIC_SIDECAR_BEHIND: &str = "mcphub.sidecar.log_behind";
pub const METRIC_SIDECAR_PARSE_FAILURES: &str = "mcphub.sidecar.parse_failures";
pub const METRIC_SIDECAR_BYTES_LOST: &str = "mcphub.sidecar.bytes_lost";
pub const METRIC_SIDECAR_JOURNAL: &str = "mcphub.sidecar.journal.size";
pub const METRIC_SIDECAR_UNSENT: &str = "mcphub.sidecar.unsent";
pub const METRIC_SIDECAR_UNSENT_AGE: &str = "mcphub.sidecar.unsent.age";
pub const METRIC_SIDECAR_SENT: &str = "mcphub.sidecar.records.sent";
pub const METRIC_SIDECAR_REJECTED: &str = "mcphub.sidecar.records.rejected";
pub const METRIC_SIDECAR_DROPPED: &str = "mcphub.sidecar.records.dropped";
pub const METRIC_RECEIVER_ACCEPTED_SPANS: &str = "otelcol_receiver_accepted_spans";
pub const METRIC_RECEIVER_ACCEPTED_METRIC_POINTS: &str = "otelcol_receiver_accepted_metric_points";
pub const METRIC_RECEIVER_ACCEPTED_LOG_RECORDS: &str = "otelcol_receiver_accepted_log_records";
pub const METRIC_RECEIVER_REFUSED_SPANS: &str = "otelcol_receiver_refused_spans";
pub const METRIC_RECEIVER_REFUSED_METRIC_POINTS: &str = "otelcol_receiver_refused_metric_points";
pub const METRIC_RECEIVER_REFUSED_LOG_RECORDS: &str = "otelcol_receiver_refused_log_records";
pub const METRIC_RECEIVER_REFUSED_REQUESTS: &str = "mcphub.sidecar.receiver.refused_requests";
pub const METRIC_PROCESS_UPTIME: &str = "process.uptime";

// Further metrics of `/metrics`. The metrics above appear there under the names of OpenTelemetry's translation.
/// What is known of each resource: the hub, and the sidecar beside it.
pub const PROMETHEUS_TARGET_INFO: &str = "target_info";
/// Which hubwatch serves this.
pub const PROMETHEUS_BUILD_INFO: &str = "hubwatch_build_info";
/// Whether `/readyz` says ready.
pub const PROMETHEUS_READY: &str = "hubwatch_ready";
/// When the hub was last polled.
pub const PROMETHEUS_LAST_POLL: &str = "hubwatch_last_poll_timestamp_seconds";
/// The verdict as of now, one series for each.
pub const PROMETHEUS_VERDICT: &str = "hubwatch_verdict";
/// The verdict of each criterion.
pub const PROMETHEUS_CRITERION: &str = "hubwatch_criterion";
/// Open incidents by severity.
pub const PROMETHEUS_INCIDENTS_OPEN: &str = "hubwatch_incidents_open";
