import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { Hub, RUNTIME } from "../fixtures/instrumented.mjs";
import { Sink } from "../fixtures/sink.mjs";

const ms = (span) => Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
const TRACE = "0af7651916cd43dd8448eb211c80319c";

test("a call over the legacy transport is one server span from its arrival to its answer", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  const before = Date.now();
  const answer = await session.call(7, "filesystem__slow", { ms: 300 });
  const [span] = await hub.sink.gets(1);
  const { name, kind, status, traceId, spanId, parentSpanId } = span;
  assert.deepEqual([name, kind, status, parentSpanId], ["tools/call filesystem__slow", 2, {}, undefined]);
  assert.match(`${traceId} ${spanId}`, /^[\da-f]{32} [\da-f]{16}$/);
  assert.equal(span["mcp.method.name"], "tools/call");
  assert.equal(span["gen_ai.operation.name"], "execute_tool");
  assert.equal(span["gen_ai.tool.name"], "filesystem__slow");
  assert.equal(span["mcphub.server.name"], "filesystem");
  assert.equal(span["mcp.session.id"], session.id);
  assert.equal(span["jsonrpc.request.id"], "7");
  assert.equal(span["network.transport"], "tcp");
  assert.equal(span["network.protocol.name"], "http");
  assert.equal(span["http.route"], "/messages");
  assert.equal(span["http.response.body.size"], answer.text.length);
  assert.equal(span["error.type"], undefined);
  assert.ok(ms(span) >= 299 && ms(span) <= answer.ms + 1, `${ms(span)} ms, the client measured ${answer.ms}`);
  assert.ok(Math.abs(Number(BigInt(span.startTimeUnixNano) / 1_000_000n) - before) < 200);
  assert.deepEqual(hub.sink.scope, { name: "hubwatch-instrument", version: "1.0.0" });
  const {
    "service.name": service,
    "process.pid": pid,
    "process.runtime.name": runtime,
    "process.runtime.version": version,
  } = hub.sink.resource;
  assert.deepEqual([service, pid, runtime], ["mcp-hub", hub.process.pid, /bun$/.test(RUNTIME) ? "bun" : "nodejs"]);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.equal(hub.stderr, "");
});

test("a REST call names server and tool, and both sizes", async (t) => {
  const hub = await Hub.start(t);
  const { sent, text, status } = await hub.rest("ok", { text: "ä secret argument" });
  assert.equal(status, 200);
  // The hub read all of the body itself.
  assert.equal(JSON.parse(text).read, sent);
  const [span] = await hub.sink.gets(1);
  assert.deepEqual(
    [span.name, span["mcphub.server.name"], span["http.route"]],
    ["tools/call ok", "filesystem", "/api/servers/tools"],
  );
  assert.deepEqual([span["http.request.body.size"], span["http.response.body.size"]], [sent, Buffer.byteLength(text)]);
  assert.deepEqual([span["jsonrpc.request.id"], span["mcp.session.id"], span["error.type"]], [undefined, undefined, undefined]);
});

test("streamable HTTP is followed whether the answer is JSON or an event stream", async (t) => {
  const hub = await Hub.start(t);
  const call = (id, name) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name } });
  const json = await hub.post("/mcp", call("a", "filesystem__ok"), { "mcp-session-id": "s-1" });
  await hub.post("/mcp", call("b", "filesystem__bad"), { "mcp-session-id": "s-1", "x-answer": "events" });
  const spans = await hub.sink.gets(2);
  assert.deepEqual(
    spans.map((span) => [span["jsonrpc.request.id"], span["error.type"]]),
    [
      ["a", undefined],
      ["b", "tool_error"],
    ],
  );
  assert.deepEqual([spans[0]["mcp.session.id"], spans[0]["http.route"]], ["s-1", "/mcp"]);
  assert.equal(spans[0]["http.response.body.size"], Buffer.byteLength(json.text));
});

test("each way to fail has its own error type", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  await session.call(1, "filesystem__bad");
  await session.call("two", "filesystem__throws");
  await session.call(3, "filesystem__longbad");
  await hub.rest("bad");
  await hub.rest("longbad");
  await hub.rest("throws");
  await hub.post("/api/servers/tools", { tool: "ok" });
  await hub.post("/messages?sessionId=gone", { jsonrpc: "2.0", id: 9, method: "tools/call", params: { name: "filesystem__ok" } });
  const spans = await hub.sink.gets(8);
  assert.deepEqual(
    spans.map((span) => [span["error.type"], span["rpc.response.status_code"], span.status.code]),
    [
      ["tool_error", undefined, 2],
      ["-32603", "-32603", 2],
      ["tool_error", undefined, 2],
      ["tool_error", undefined, 2],
      ["tool_error", undefined, 2],
      ["500", undefined, 2],
      ["400", undefined, 2],
      ["404", undefined, 2],
    ],
  );
});

test("a long answer is a success although its text speaks of an error", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  const answer = await session.call(1, "filesystem__ok", { size: 3_000_000 });
  await hub.rest("ok", { size: 3_000_000 });
  const spans = await hub.sink.gets(2);
  assert.deepEqual(
    spans.map((span) => span["error.type"]),
    [undefined, undefined],
  );
  assert.equal(spans[0]["http.response.body.size"], answer.text.length);
});

test("a client that leaves before its answer is told apart from a hub that gives none", async (t) => {
  const hub = await Hub.start(t);
  const leaves = await hub.connect();
  leaves.call(1, "filesystem__never").catch(() => {});
  await new Promise((done) => setTimeout(done, 100));
  leaves.close();
  await hub.sink.gets(1);
  await hub.leave("/api/servers/tools", { server_name: "filesystem", tool: "never" });
  await hub.sink.gets(2);
  const stays = await hub.connect();
  stays.call(2, "filesystem__never").catch(() => {});
  await new Promise((done) => setTimeout(done, 100));
  await fetch(`http://127.0.0.1:${hub.port}/closes`);
  await hub.sink.gets(3);
  const cancels = await hub.connect();
  cancels.call(3, "filesystem__never").catch(() => {});
  await new Promise((done) => setTimeout(done, 100));
  await cancels.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 3 } });
  const spans = await hub.sink.gets(4);
  assert.deepEqual(
    spans.map((span) => span["error.type"]),
    ["client_closed", "client_closed", "no_answer", "cancelled"],
  );
});

test("the caller's trace is continued: _meta first, then the header", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  await session.call(1, "filesystem__ok", {}, { traceparent: `00-${TRACE}-b7ad6b7169203331-01` });
  await hub.rest("ok", {}, "filesystem", { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` });
  await hub.rest("ok", {}, "filesystem", { traceparent: `00-${"0".repeat(32)}-00f067aa0ba902b7-01` });
  const spans = await hub.sink.gets(3);
  assert.deepEqual(
    spans.slice(0, 2).map((span) => [span.traceId, span.parentSpanId]),
    [
      [TRACE, "b7ad6b7169203331"],
      [TRACE, "00f067aa0ba902b7"],
    ],
  );
  assert.equal(spans[2].parentSpanId, undefined);
  assert.doesNotMatch(spans[2].traceId, /^0+$/);
});

test("what is no single tools/call with an id is left alone", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "filesystem__ok" } };
  await session.send({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  await session.send([call, call]);
  await session.send({ ...call, id: undefined });
  await session.send({ ...call, params: {} });
  await hub.post("/api/servers/tools", "no JSON");
  await hub.post("/mcp", { jsonrpc: "2.0", id: 2, method: "initialize" });
  await session.call(5, "filesystem__ok");
  const spans = await hub.sink.gets(1);
  assert.deepEqual(
    spans.map((span) => span["jsonrpc.request.id"]),
    ["5"],
  );
});

test("a body that is too large or compressed is counted, and reaches the hub", async (t) => {
  const hub = await Hub.start(t);
  const large = await hub.rest("ok", { text: "x".repeat(5 << 20) });
  assert.equal(JSON.parse(large.text).read, large.sent);
  await hub.post("/api/servers/tools", gzipSync(JSON.stringify({ server_name: "a", tool: "ok" })), { "content-encoding": "gzip" });
  await hub.rest("ok");
  assert.equal((await hub.sink.gets(1)).length, 1);
  const beat = await hub.sink.until("a heartbeat that tells", () =>
    hub.sink.heartbeats.find(({ metrics }) =>
      metrics.some(({ name, sum }) => /not_understood/.test(name) && sum.dataPoints[0].asInt === "2"),
    ),
  );
  assert.equal(beat.resource["process.pid"], hub.process.pid);
});

test("many sessions and calls at once keep apart", async (t) => {
  const hub = await Hub.start(t);
  const sessions = await Promise.all(Array.from({ length: 10 }, () => hub.connect()));
  const calls = sessions.flatMap((session) => [1, 2, "2"].map((id) => session.call(id, `server${session.id}__slow`, { ms: 20 })));
  await Promise.all([...calls, ...Array.from({ length: 170 }, () => hub.rest("ok"))]);
  const spans = await hub.sink.gets(200);
  assert.equal(spans.length, 200);
  assert.equal(new Set(spans.map((span) => span.spanId)).size, 200);
  for (const { id } of sessions) {
    const own = spans.filter((span) => span["mcp.session.id"] === id);
    assert.deepEqual(
      own.map((span) => span["gen_ai.tool.name"]),
      Array(3).fill(`server${id}__slow`),
    );
  }
});

test("no prompt, argument, answer, error text or header leaves", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  const headers = { authorization: "Bearer secret" };
  await hub.rest("ok", { text: "a secret argument" }, "filesystem", headers);
  await hub.rest("throws", {}, "filesystem", headers);
  for (const [id, tool] of ["hub__analyze_prompt", "filesystem__openai", "filesystem__throws", "filesystem__ok"].entries()) {
    await session.call(id, tool, { text: "a secret argument" });
  }
  await hub.sink.gets(8);
  for (const { text } of hub.sink.requests) assert.doesNotMatch(text, /secret/);
});

test("session ids leave to a receiver on loopback only, unless they are asked for", async (t) => {
  for (const [url, more, expected] of [
    ["127.0.0.1", {}, true],
    ["localhost", {}, true],
    ["0.0.0.0", {}, false],
    ["0.0.0.0", { HUBWATCH_SEND_SESSION_IDS: "1" }, true],
  ]) {
    const sink = await Sink.start();
    t.after(() => sink.stop());
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://${url}:${sink.port}`, ...more };
    const hub = await Hub.start(t, { sink, env });
    const session = await hub.connect();
    await session.call(1, "hub__analyze_prompt");
    const spans = await sink.gets(2);
    assert.deepEqual(
      spans.map((span) => span["mcp.session.id"] === session.id),
      [expected, expected],
      url,
    );
  }
});
