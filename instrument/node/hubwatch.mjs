// hubwatch's instrumentation for an MCP hub. It is loaded beside the hub's own code and changes none of it:
//   NODE_OPTIONS="--import /path/hubwatch.mjs"     (Node 20 and later)
//   bun --preload /path/hubwatch.mjs               (Bun; or BUN_OPTIONS="--preload=/path/hubwatch.mjs")
//
// What it sees: each HTTP attempt that `fetch` makes to a language model, and each `tools/call` that a client sends to the hub, over MCP
// or over `POST /api/servers/tools`. It sends both as spans (OTLP/HTTP JSON) to hubwatch, by default to http://127.0.0.1:4318.
//
// What leaves this process: names of tools, servers and models, times, sizes, token counts, status and error codes, JSON-RPC request
// ids, and trace ids. No prompt, argument, answer, header or key leaves. Session ids leave only to a receiver on loopback, which
// hashes them before it keeps anything: an MCP session id is a live credential. HUBWATCH_SEND_SESSION_IDS=1 sends them elsewhere, too.
//
// Settings: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_{TRACES,METRICS}_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
// OTEL_SDK_DISABLED, HUBWATCH_LLM_HOSTS (`host[:port][=provider],…`), HUBWATCH_ALLOW_FAULTS with HUBWATCH_FAULT_FILE (see `fault`).
//
// It never delays the process's end, listens for no signal, and keeps no timer or socket that keeps the process alive. If something in
// it fails, the hub's work goes on, and one line on stderr says so.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { isMainThread } from "node:worker_threads";

/** The version of what this file sends: the scope's version. */
const VERSION = "1.0.0";
const SCOPE = "hubwatch-instrument";
const META_TOOL = "hub__analyze_prompt";

/** A larger request is not read: counted as not understood. The SDK's own limit. */
const MAX_REQUEST = 4 << 20;
/** A longer answer is searched, not parsed: parsing 64 KiB takes less than 1 ms. */
const MAX_PARSED = 64 << 10;
/** A longer answer of a model is not read to its end: no tokens. */
const MAX_MODEL_ANSWER = 1 << 20;
/** Strings from outside are cut to this length. */
const MAX_STRING = 256;
/** Calls without an answer that are followed at the same time. */
const MAX_OPEN = 4_096;
/** A call without an answer for so long ends as `no_answer`. */
const MAX_CALL_MS = 600_000;
/** Spans and bytes that wait for the receiver: minutes of a busy hub, and little memory. */
const MAX_QUEUED = 4_096;
const MAX_QUEUED_BYTES = 4 << 20;
/** Spans of one request. */
const MAX_BATCH = 512;
const BATCH_MS = 250;
const HEARTBEAT_MS = 10_000;
const MAX_BACKOFF_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_FAULT_MS = 60_000;

const env = process.env;
let warned = false;

/** Says once that something failed. */
function warn(error) {
  if (warned) return;
  warned = true;
  try {
    process.stderr.write(`hubwatch instrumentation: ${String(error?.message ?? error).slice(0, 200)} (the hub is not affected)\n`);
  } catch {}
}

/** Does something of ours inside the hub's work: an error stays here. */
function quietly(work) {
  try {
    return work();
  } catch (error) {
    warn(error);
  }
}

// ---- Time, ids, spans ----

/** A clock that agrees with itself within one call and with the wall clock at its start. Nanoseconds. */
function startClock() {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return () => process.hrtime.bigint() + offset;
}

const id = (bytes) => randomBytes(bytes).toString("hex");

function attributesOf(values) {
  const attributes = [];
  for (const [key, value] of Object.entries(values)) {
    const encoded = encode(value);
    if (encoded) attributes.push({ key, value: encoded });
  }
  return attributes;
}

function encode(value) {
  if (typeof value === "string") return { stringValue: value.slice(0, MAX_STRING) };
  if (typeof value === "boolean") return { boolValue: value };
  if (Number.isSafeInteger(value)) return { intValue: String(value) };
  if (Array.isArray(value) && value.length) return { arrayValue: { values: value.slice(0, 16).map(encode).filter(Boolean) } };
}

/** Queues a span. `start` and `end` are nanoseconds. */
function emitSpan({ traceId, spanId, parentSpanId, name, kind, start, end, attributes }) {
  const failed = attributes["error.type"] !== undefined;
  enqueue({
    traceId,
    spanId,
    ...(parentSpanId && { parentSpanId }),
    name: name.slice(0, MAX_STRING),
    kind,
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(end),
    attributes: attributesOf(attributes),
    status: failed ? { code: 2 } : {},
  });
  // A hub may exit right after a failure.
  if (failed) detached(() => setImmediate(flush));
}

/** The caller's trace, from a `traceparent`. */
function parentOf(traceparent) {
  const found = /^(?!ff)[\da-f]{2}-((?!0{32})[\da-f]{32})-((?!0{16})[\da-f]{16})-[\da-f]{2}/.exec(String(traceparent ?? ""));
  return found && { traceId: found[1], spanId: found[2] };
}

// ---- What causes what ----

/** The request that causes whatever runs in its asynchronous context: `{ session, call, attempts }`. */
const causes = new AsyncLocalStorage();

/** Our own timers and sockets belong to no request: they must not keep one in memory. */
const detached = (work) => causes.run(undefined, work);

// ---- Tool calls ----

/** Calls without an answer, oldest first. */
const open = new Set();
/** The streams of MCP sessions (legacy transport), by session id: `{ pending, rest }`. */
const streams = new Map();
let notUnderstood = 0;

/** Looks at a request before the hub does. Returns its cause if it may be a tool call. */
function observe(request, response) {
  const [path, query = ""] = request.url.split("?", 2);
  if (request.method === "GET") {
    if (/\/(mcp|sse)$/.test(path)) watchStream(response);
    return undefined;
  }
  if (request.method !== "POST") return undefined;
  const cause = { path, session: undefined, call: undefined, attempts: new Map() };
  const clock = startClock();
  const start = clock();
  const arrived = { cause, clock, start, request, response };
  let begin;
  if (path.endsWith("/api/servers/tools")) {
    begin = restCall;
  } else if (/\/messages?$/.test(path) && query.includes("sessionId=")) {
    cause.session = new URLSearchParams(query).get("sessionId") ?? undefined;
    begin = legacyCall;
  } else if (path.endsWith("/mcp")) {
    cause.session = request.headers["mcp-session-id"];
    begin = streamableCall;
  } else {
    return undefined;
  }
  readBody(request, cause, (text, size) => begin({ ...arrived, size }, text));
  return cause;
}

/** Sees the request's body as it is pushed into its stream, before whoever reads that stream. */
function readBody(request, cause, done) {
  const push = request.push;
  const plain = /^(identity)?$/i.test(request.headers["content-encoding"] ?? "");
  let chunks = plain && !(Number(request.headers["content-length"]) > MAX_REQUEST) ? [] : undefined;
  let size = 0;
  if (!chunks) notUnderstood += 1;
  const see = (chunk) => {
    if (!chunks) return;
    if (chunk === null) {
      const text = Buffer.concat(chunks).toString();
      chunks = undefined;
      done(text, size);
    } else {
      chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
      size += chunks.at(-1).length;
      if (size > MAX_REQUEST) [chunks, notUnderstood] = [undefined, notUnderstood + 1];
    }
  };
  // The events of the body run in the request's context, whatever reads it.
  request.push = function (chunk) {
    quietly(() => see(chunk));
    return causes.run(cause, () => push.apply(this, arguments));
  };
}

/** What is no JSON gets the hub's own answer. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function restCall(arrived, text) {
  const body = parse(text);
  if (typeof body?.tool !== "string") return;
  const server = typeof body.server_name === "string" ? body.server_name : undefined;
  const call = beginCall(arrived, body.tool, server, undefined, undefined);
  if (call) watchAnswer(arrived.response, call, restOutcome);
}

/** The message, if it is one `tools/call` that wants an answer; batches are left alone. */
function toolsCall(text) {
  const message = text.includes('"tools/call"') ? parse(text) : undefined;
  const name = message?.method === "tools/call" && message.id !== undefined ? message.params?.name : undefined;
  return typeof name === "string" ? message : undefined;
}

function mcpCall(arrived, message) {
  const name = message.params.name;
  const server = name === META_TOOL || !name.includes("__") ? undefined : name.split("__", 1)[0];
  return beginCall(arrived, name, server, String(message.id), message.params._meta?.traceparent);
}

function legacyCall(arrived, text) {
  const stream = streams.get(arrived.cause.session);
  const message = toolsCall(text) ?? void cancelled(stream, text);
  const call = message && mcpCall(arrived, message);
  if (!call) return;
  // The answer goes out on the session's stream; a refusal is the answer to this request.
  const { response } = arrived;
  response.once("close", () =>
    quietly(() => {
      if (response.statusCode >= 400) return finish(call, { error: String(response.statusCode) });
      // Nothing shows the answer.
      if (!stream && open.delete(call)) notUnderstood += 1;
    }),
  );
  if (!stream) return;
  const key = JSON.stringify(message.id);
  finish(stream.pending.get(key), { error: "no_answer" });
  stream.pending.set(key, call);
  call.forget = () => stream.pending.get(key) === call && stream.pending.delete(key);
}

/** A client that waited long enough says so; the SDK then sends no answer. */
function cancelled(stream, text) {
  const message = stream?.pending.size && text.includes('"notifications/cancelled"') ? parse(text) : undefined;
  if (message?.method === "notifications/cancelled") {
    finish(stream.pending.get(JSON.stringify(message.params?.requestId)), { error: "cancelled" });
  }
}

function streamableCall(arrived, text) {
  const message = toolsCall(text);
  const call = message && mcpCall(arrived, message);
  if (!call) return;
  const stream = { pending: new Map([[JSON.stringify(message.id), call]]), rest: "" };
  watchAnswer(
    arrived.response,
    call,
    (status, json) => answerOf(json) ?? { error: status >= 400 ? String(status) : "no_answer" },
    stream,
  );
}

/** Starts a call: from now on its cause names it. Returns nothing if too many are open. */
function beginCall({ cause, clock, start, request, size }, tool, server, rpcId, metaParent) {
  if (open.size >= MAX_OPEN) return void (notUnderstood += 1);
  const parent = parentOf(metaParent) ?? parentOf(request.headers.traceparent);
  const call = {
    clock,
    start,
    traceId: parent?.traceId ?? id(16),
    spanId: id(8),
    parentSpanId: parent?.spanId,
    tool,
    rpcId,
    injected: undefined,
  };
  call.attributes = {
    "mcp.method.name": "tools/call",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": tool,
    "mcphub.server.name": server,
    "mcp.session.id": sessionToSend(cause.session),
    "jsonrpc.request.id": rpcId,
    "network.transport": "tcp",
    "network.protocol.name": "http",
    "http.route": cause.path,
    "http.request.body.size": size,
  };
  cause.call = call;
  open.add(call);
  return call;
}

/** Ends a call, once. */
function finish(call, { error, code, size } = {}) {
  if (!call || !open.delete(call)) return;
  call.forget?.();
  const attributes = {
    ...call.attributes,
    "http.response.body.size": size,
    "rpc.response.status_code": code,
    "error.type": error,
    "hubwatch.injected": call.injected,
  };
  emitSpan({ ...call, name: `tools/call ${call.tool}`, kind: 2, end: call.clock(), attributes });
}

/** Follows the answer to the request itself. `stream`: it may be an event stream. */
function watchAnswer(response, call, outcome, stream) {
  const { write, end } = response;
  let [kept, size, isError, events, ended] = ["", 0, false, undefined, false];
  const see = (chunk) => {
    if (ended || chunk == null || typeof chunk === "function") return;
    events ??= stream !== undefined && !/^\s*\{/.test(head(chunk));
    if (events) return readEvents(stream, chunk);
    size += Buffer.byteLength(chunk);
    isError ||= contains(chunk, '"isError":true');
    kept = size <= MAX_PARSED ? kept + textOf(chunk) : undefined;
  };
  response.write = function (chunk) {
    quietly(() => see(chunk));
    return write.apply(this, arguments);
  };
  response.end = function (chunk) {
    quietly(() => {
      see(chunk);
      ended = true;
      // Without an event of its own the call has no answer.
      if (events) return finish(call, { error: "no_answer" });
      const status = response.statusCode;
      const long = { error: status >= 400 ? String(status) : isError ? "tool_error" : undefined };
      finish(call, { ...(kept === undefined ? long : outcome(status, kept)), size });
    });
    return end.apply(this, arguments);
  };
  response.once("close", () => quietly(() => finish(call, { error: "client_closed" })));
}

function restOutcome(status, json) {
  if (status >= 400) return { error: String(status) };
  return { error: parse(json)?.result?.isError === true ? "tool_error" : undefined };
}

/** Follows the answers of a session that go out on its stream. Other streams are passed on. */
function watchStream(response) {
  const { write } = response;
  let [session, stream] = [undefined, undefined];
  response.write = function (chunk) {
    if (session !== null) {
      quietly(() => {
        if (stream) return stream.pending.size ? readEvents(stream, chunk) : (stream.rest = "");
        // The first event names the session.
        session = /^event: endpoint\ndata: \S*[?&]sessionId=([\w-]{1,128})/.exec(head(chunk))?.[1] ?? null;
        if (session) streams.set(session, (stream = { pending: new Map(), rest: "" }));
      });
    }
    return write.apply(this, arguments);
  };
  response.once("close", () =>
    quietly(() => {
      if (!stream) return;
      if (streams.get(session) === stream) streams.delete(session);
      // If the hub ended the stream itself, the client did not leave.
      const error = response.writableEnded ? "no_answer" : "client_closed";
      for (const call of [...stream.pending.values()]) finish(call, { error });
    }),
  );
}

/** Ends the calls whose answers are in this piece of an event stream. */
function readEvents(stream, chunk) {
  const text = stream.rest + textOf(chunk);
  let from = 0;
  for (let to; (to = text.indexOf("\n\n", from)) >= 0; from = to + 2) {
    const data = text.startsWith("data:", from) ? from : text.indexOf("\ndata:", from) + 1;
    if (!text.startsWith("data:", data) || data > to) continue;
    const json = text.slice(data + 5, to).trim();
    const answer = answerOf(json);
    if (answer) finish(stream.pending.get(answer.key), { ...answer, size: Buffer.byteLength(json) });
  }
  const rest = text.slice(from);
  stream.rest = rest.length <= MAX_REQUEST ? rest : "";
}

const RPC_ID = String.raw`(-?\d+|"(?:[^"\\]|\\.){0,128}")`;
const ID_FIRST = new RegExp(String.raw`^\{(?:"jsonrpc":"2\.0",)?"id":${RPC_ID},`);
const ID_LAST = new RegExp(String.raw`,"id":${RPC_ID}(?:,"jsonrpc":"2\.0")?\}$`);

/** What a JSON-RPC answer says: `{ key, error, code }`. Nothing for other messages. */
function answerOf(json) {
  if (json.length > MAX_PARSED) {
    // The id stands at one of the ends. A quote inside of a JSON string is escaped, so these keys are no text of the answer.
    const key = (ID_FIRST.exec(json.slice(0, 256)) ?? ID_LAST.exec(json.slice(-256)))?.[1];
    return key && { key, error: json.includes('"isError":true') ? "tool_error" : undefined };
  }
  const message = parse(json);
  if (message?.id === undefined || message.method !== undefined) return undefined;
  const key = JSON.stringify(message.id);
  if (message.error === undefined) return { key, error: message.result?.isError === true ? "tool_error" : undefined };
  const code = String(message.error?.code ?? "unknown");
  return { key, error: code, code };
}

const textOf = (chunk) =>
  typeof chunk === "string" ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString();
const head = (chunk) => textOf(typeof chunk === "string" ? chunk.slice(0, 512) : chunk.subarray(0, 512));
const contains = (chunk, text) =>
  typeof chunk === "string" ? chunk.includes(text) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).includes(text);

// ---- Attempts to reach a language model ----

const PROVIDERS = [
  [/^generativelanguage\.googleapis\.com$/, "gcp.gemini"],
  [/^(.+[.-])?aiplatform\.googleapis\.com$/, "gcp.vertex_ai"],
  [/^api\.openai\.com$/, "openai"],
  [/^api\.anthropic\.com$/, "anthropic"],
];
/** Further hosts: an endpoint that speaks another provider's protocol. */
const MORE_HOSTS = new Map(
  (env.HUBWATCH_LLM_HOSTS ?? "")
    .split(",")
    .filter(Boolean)
    .map((entry) => {
      const [host, provider = "openai"] = entry.trim().split("=", 2);
      return [host.toLowerCase(), provider];
    }),
);

/** Describes a fetch of a model; nothing for any other. */
function attemptOf(input, init) {
  const named = typeof input === "string" ? input : (input?.url ?? input);
  // `fetch` itself says what is wrong with it.
  if (!URL.canParse(named)) return undefined;
  const url = new URL(named);
  const provider =
    PROVIDERS.find(([pattern]) => pattern.test(url.hostname))?.[1] ?? MORE_HOSTS.get(url.host) ?? MORE_HOSTS.get(url.hostname);
  if (!provider) return undefined;
  const generates = /\/([^/:]+):(?:streamG|g)enerateContent$/.exec(url.pathname);
  if (!generates && !/\/(chat\/completions|completions|responses|messages)$/.test(url.pathname)) return undefined;
  const cause = causes.getStore();
  const call = cause?.call;
  const clock = call?.clock ?? startClock();
  const operation = generates ? "generate_content" : "chat";
  const model = generates ? decodeURIComponent(generates[1]) : modelIn(init?.body);
  const attributes = {
    "gen_ai.operation.name": operation,
    "gen_ai.provider.name": provider,
    "gen_ai.request.model": model,
    "server.address": url.hostname,
    "mcp.session.id": sessionToSend(cause?.session),
    "jsonrpc.request.id": call?.rpcId,
    "gen_ai.tool.name": call?.tool,
  };
  if (cause) {
    const target = url.origin + url.pathname;
    const before = cause.attempts.get(target) ?? 0;
    cause.attempts.set(target, before + 1);
    if (before) attributes["http.request.resend_count"] = before;
  }
  const name = model ? `${operation} ${model}` : operation;
  return {
    clock,
    start: clock(),
    traceId: call?.traceId ?? id(16),
    spanId: id(8),
    parentSpanId: call?.spanId,
    kind: 3,
    name,
    attributes,
  };
}

function modelIn(body) {
  return typeof body === "string" ? /"model"\s*:\s*"([^"\\]{1,128})"/.exec(body.slice(0, MAX_PARSED))?.[1] : undefined;
}

/** Makes the attempt: the hub gets what `send` gives, an error included. */
async function watchAttempt(attempt, send) {
  let response;
  try {
    response = await send();
  } catch (error) {
    quietly(() => endAttempt(attempt, errorType(error)));
    throw error;
  }
  quietly(() => readAnswer(attempt, response));
  return response;
}

function endAttempt(attempt, error) {
  attempt.attributes["error.type"] = error;
  emitSpan({ ...attempt, end: attempt.clock() });
}

/** A low-cardinality name. The SDKs abort an attempt when its time is over. */
function errorType(error) {
  const code = error?.cause?.code ?? error?.code;
  if (["AbortError", "TimeoutError"].includes(error?.name) || /TIMEOUT|ETIMEDOUT/.test(code)) return "timeout";
  return String((typeof code === "string" && code) || error?.cause?.name || error?.name || "error");
}

/** Reads a copy of the answer while the hub reads its own. */
function readAnswer(attempt, response) {
  attempt.attributes["http.response.status_code"] = response.status;
  if (response.status >= 400) return endAttempt(attempt, String(response.status));
  if (!response.body || Number(response.headers.get("content-length")) > MAX_MODEL_ANSWER) return endAttempt(attempt);
  const events = /event-stream/.test(response.headers.get("content-type"));
  const reader = response.clone().body.getReader();
  detached(() => readModel(attempt, reader, events)).catch(warn);
}

async function readModel(attempt, reader, events) {
  const chunks = [];
  let size = 0;
  try {
    for (let piece; !(piece = await reader.read()).done; chunks.push(piece.value)) {
      size += piece.value.length;
      // A copy that is not read to its end must be given up, or the hub's own waits for it in memory.
      if (size > MAX_MODEL_ANSWER) return (void reader.cancel().catch(() => {}), endAttempt(attempt));
    }
  } catch (error) {
    return endAttempt(attempt, errorType(error));
  }
  const text = Buffer.concat(chunks).toString();
  if (!events) {
    const answer = parse(text);
    learn(attempt.attributes, answer);
    return endAttempt(attempt, answer === undefined ? "invalid_response" : undefined);
  }
  for (const line of text.split("\n")) {
    if (line.startsWith("data:")) learn(attempt.attributes, parse(line.slice(5)));
  }
  endAttempt(attempt);
}

const sum = (...counts) =>
  counts.some(Number.isInteger) ? counts.reduce((total, count) => total + (Number.isInteger(count) ? count : 0), 0) : undefined;

/** Takes model, finish reasons and tokens from an answer, or from an event of a stream, of any of the providers. */
function learn(attributes, answer) {
  if (answer === null || typeof answer !== "object") return;
  const message = answer.message ?? answer.response ?? answer;
  const set = (name, value) => value !== undefined && value !== null && (attributes[name] = value);
  set(
    "gen_ai.response.model",
    [message.modelVersion, message.model].find((model) => typeof model === "string"),
  );
  const choices = [message.candidates, message.choices, message, answer.delta].flat();
  const reasons = choices
    .map((choice) => choice?.finishReason ?? choice?.finish_reason ?? choice?.stop_reason)
    .filter((reason) => typeof reason === "string");
  if (reasons.length) set("gen_ai.response.finish_reasons", reasons);
  const gemini = message.usageMetadata ?? {};
  const usage = message.usage ?? {};
  const details = usage.completion_tokens_details ?? usage.output_tokens_details ?? {};
  // Tokens of a cache and of reasoning count as input and output; only some providers have counted them already.
  const input = sum(usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens);
  set("gen_ai.usage.input_tokens", gemini.promptTokenCount ?? usage.prompt_tokens ?? input);
  set(
    "gen_ai.usage.output_tokens",
    sum(gemini.candidatesTokenCount, gemini.thoughtsTokenCount) ?? usage.completion_tokens ?? usage.output_tokens,
  );
  set("gen_ai.usage.reasoning.output_tokens", gemini.thoughtsTokenCount ?? details.reasoning_tokens);
}

// ---- Faults ----

/**
 * What is answered in a model's place: only in a process that was started with HUBWATCH_ALLOW_FAULTS=1, and only while the file
 * HUBWATCH_FAULT_FILE says `429` or another status, `timeout` or `garbage`.
 */
function fault() {
  if (env.HUBWATCH_ALLOW_FAULTS !== "1" || !env.HUBWATCH_FAULT_FILE) return undefined;
  try {
    const said = readFileSync(env.HUBWATCH_FAULT_FILE, "utf8").trim();
    return /^([45]\d\d|timeout|garbage)$/.test(said) ? said : undefined;
  } catch {
    return undefined;
  }
}

const GOOGLE_STATUS = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  500: "INTERNAL",
  503: "UNAVAILABLE",
};

async function answerFault(kind, signal) {
  if (kind === "timeout") return new Promise((_, reject) => neverAnswer(signal, reject));
  const headers = { "content-type": "application/json; charset=UTF-8" };
  if (kind === "garbage") return new Response("<html>this is no answer of a model", { status: 200, headers });
  const [code, statusText] = [Number(kind), http.STATUS_CODES[kind] ?? "Error"];
  // These words of Gemini's make a hub fall back instead of failing.
  const message = code === 429 ? "Resource has been exhausted (e.g. check quota)." : statusText;
  const body = { error: { code, message, status: GOOGLE_STATUS[code] ?? "UNKNOWN" } };
  return new Response(JSON.stringify(body), { status: code, statusText, headers });
}

function neverAnswer(signal, reject) {
  const late = Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
  const timer = setTimeout(() => reject(new TypeError("fetch failed", { cause: late })), MAX_FAULT_MS);
  timer.unref();
  const abort = () => (clearTimeout(timer), reject(signal.reason));
  if (signal?.aborted) abort();
  else signal?.addEventListener("abort", abort, { once: true });
}

// ---- To the receiver ----

/** `k=v,k2=v2`, values percent-encoded. */
function headersOf(text) {
  const pairs = (text ?? "").split(",").map((pair) => pair.split(/=(.*)/s, 2).map((part) => part.trim()));
  return Object.fromEntries(
    pairs.filter(([name, value]) => name && value).map(([name, value]) => [name.toLowerCase(), decodeURIComponent(value)]),
  );
}

const BASE = (env.OTEL_EXPORTER_OTLP_ENDPOINT || "http://127.0.0.1:4318").replace(/\/+$/, "");
async function target(signal) {
  const variable = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}`;
  const url = new URL(env[`${variable}_ENDPOINT`] || `${BASE}/v1/${signal}`);
  const headers = { ...headersOf(env.OTEL_EXPORTER_OTLP_HEADERS), ...headersOf(env[`${variable}_HEADERS`]) };
  const client = url.protocol === "https:" ? (await import("node:https")).default : http;
  return { url, headers, client, agent: new client.Agent({ keepAlive: true, maxSockets: 1 }) };
}
let traces, metrics;

const isLoopback = (host) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host);
const sessionToSend = (session) => (env.HUBWATCH_SEND_SESSION_IDS === "1" || isLoopback(traces.url.hostname) ? session : undefined);

const resource = {
  attributes: attributesOf({
    "service.name": env.OTEL_SERVICE_NAME || "mcp-hub",
    "process.pid": process.pid,
    "process.runtime.name": process.versions.bun ? "bun" : "nodejs",
    "process.runtime.version": process.versions.bun ?? process.versions.node,
    "telemetry.sdk.language": "nodejs",
  }),
};
const scope = { name: SCOPE, version: VERSION };

const queue = [];
let queuedBytes = 0;
/** The batch that is sent until the receiver has it: each time the same bytes, by which the receiver knows it again. */
let batch, timer;
const processed = { sent: 0, queue_full: 0, rejected: 0 };

function enqueue(span) {
  const text = JSON.stringify(span);
  if (queue.length >= MAX_QUEUED || queuedBytes + text.length > MAX_QUEUED_BYTES) return void (processed.queue_full += 1);
  queue.push(text);
  queuedBytes += text.length;
  timer ??= later(BATCH_MS, () => ((timer = undefined), flush()));
}

const later = (milliseconds, work) => detached(() => setTimeout(() => quietly(work), milliseconds).unref());

/** Takes the oldest spans of the queue. */
function takeBatch() {
  const spans = queue.splice(0, MAX_BATCH);
  for (const text of spans) queuedBytes -= text.length;
  const [before, after] = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope, spans: ["|"] }] }] }).split('"|"');
  return { spans: spans.length, body: Buffer.from(before + spans.join(",") + after), failures: 0 };
}

/** Sends what is queued, if nothing is on its way. */
function flush() {
  if (batch || !queue.length) return;
  batch = takeBatch();
  send();
}

function send() {
  const sent = batch;
  if (sent.sending) return;
  sent.sending = true;
  post(traces, sent.body, (status, retryAfter, answer) => {
    sent.sending = false;
    if (status === undefined || [408, 429, 502, 503, 504].includes(status)) {
      const backoff = Math.min(BATCH_MS * 2 ** sent.failures++, MAX_BACKOFF_MS) * (0.75 + Math.random() / 2);
      return void later(Math.max(backoff, Math.min(retryAfter * 1_000, MAX_BACKOFF_MS) || 0), send);
    }
    const refused = status >= 300 ? sent.spans : Math.min(sent.spans, Number(answer?.partialSuccess?.rejectedSpans) || 0);
    processed.sent += sent.spans - refused;
    processed.rejected += refused;
    batch = undefined;
    flush();
  });
}

/** Posts JSON; calls `done(status, retryAfter, answer)` once, without a status if there was no answer. */
function post({ url, headers, client, agent }, body, done) {
  let open = true;
  const once = (...result) => open && ((open = false), quietly(() => done(...result)));
  const request = client.request(url, {
    method: "POST",
    agent,
    headers: { ...headers, "content-type": "application/json", "content-length": body.length },
  });
  request.setTimeout(REQUEST_TIMEOUT_MS, () => request.destroy());
  request.on("socket", (socket) => socket.unref());
  request.on("error", () => once());
  request.on("close", () => once());
  request.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (piece) => (text = (text + piece).slice(0, MAX_PARSED)));
    response.on("error", () => once());
    response.on("end", () => once(response.statusCode, Number(response.headers["retry-after"]), parse(text)));
  });
  request.end(body);
}

// ---- Heartbeat ----

const started = startClock()();
let beating = false;

/** So that a watch knows that the hub is instrumented, also when nothing is called. */
function startHeartbeat() {
  if (beating) return;
  beating = true;
  detached(() => {
    setInterval(() => quietly(beat), HEARTBEAT_MS).unref();
    setImmediate(() => quietly(beat));
  });
}

function beat() {
  for (const call of open) {
    if (call.clock() - call.start < BigInt(MAX_CALL_MS) * 1_000_000n) break;
    finish(call, { error: "no_answer" });
  }
  const times = { startTimeUnixNano: String(started), timeUnixNano: String(BigInt(Date.now()) * 1_000_000n) };
  const point = (count, error) => ({ attributes: attributesOf({ "error.type": error }), ...times, asInt: String(count) });
  const counter = (name, unit, dataPoints) => ({ name, unit, sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints } });
  const all = [
    counter("otel.sdk.processor.span.processed", "{span}", [
      point(processed.sent),
      point(processed.queue_full, "queue_full"),
      ...(processed.rejected ? [point(processed.rejected, "rejected")] : []),
    ]),
    counter("hubwatch.instrument.not_understood", "{request}", [point(notUnderstood)]),
    { name: "process.uptime", unit: "s", gauge: { dataPoints: [{ attributes: [], ...times, asDouble: process.uptime() }] } },
  ];
  post(
    metrics,
    Buffer.from(JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics: all }] }] })),
    () => {},
  );
}

// ---- The process's end ----

/** Writes what is left to a connection that is open already: that takes no time, and nothing else can be done at the end. */
function lastWords() {
  for (const call of [...open]) finish(call, { error: "no_answer" });
  const socket = Object.values(traces.agent.freeSockets)
    .flat()
    .find((free) => free.writable);
  const left = batch && !batch.sending ? batch : !batch && queue.length ? takeBatch() : undefined;
  if (!left || !socket) return;
  const { url, headers } = traces;
  const lines = Object.entries({
    host: url.host,
    ...headers,
    "content-type": "application/json",
    "content-length": left.body.length,
    connection: "close",
  });
  socket.write(
    `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
  );
  socket.write(left.body);
}

// ---- Into the process ----

async function install() {
  [traces, metrics] = [await target("traces"), await target("metrics")];
  const emit = http.Server.prototype.emit;
  http.Server.prototype.emit = function (event, request, response) {
    let cause;
    if (event === "request") cause = quietly(() => observe(request, response));
    else if (event === "listening") quietly(startHeartbeat);
    return cause ? causes.run(cause, () => emit.apply(this, arguments)) : emit.apply(this, arguments);
  };

  globalThis.fetch = new Proxy(globalThis.fetch, {
    apply(real, self, args) {
      const attempt = quietly(() => attemptOf(args[0], args[1]));
      if (!attempt) return Reflect.apply(real, self, args);
      const kind = quietly(fault);
      if (!kind) return watchAttempt(attempt, () => Reflect.apply(real, self, args));
      attempt.attributes["hubwatch.injected"] = true;
      const call = causes.getStore()?.call;
      if (call) call.injected = true;
      return watchAttempt(attempt, () => answerFault(kind, args[1]?.signal ?? args[0]?.signal));
    },
  });

  process.on("exit", () => quietly(lastWords));
}

// Worker threads of the hub (its logger's) and a second copy of this file do nothing.
const LOADED = Symbol.for("hubwatch.instrument");
if (isMainThread && !globalThis[LOADED] && env.OTEL_SDK_DISABLED !== "true") {
  globalThis[LOADED] = VERSION;
  await install().catch(warn);
}
