// Compares what the instrumentation of a real hub sends with what the clients saw: counts, durations, sessions, tokens. See real.mjs.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ms, options, percentile, session, start, text } from "./real.mjs";

const isModel = (span) => span.kind === 3;
const rest = () => (options.fork ? ["whoami", {}, "filesystem"] : ["list_allowed_directories", {}, "filesystem"]);

function compare(what, pairs) {
  const late = pairs.map(([client, span]) => client - ms(span));
  assert.ok(
    late.every((difference) => difference > -1),
    `${what}: a span is longer than the client's call`,
  );
  console.log(
    `${what}: ${pairs.length} spans; the client's time is longer by p50 ${text(percentile(late, 0.5))} ms, max ${text(Math.max(...late))} ms`,
  );
}

async function restCalls(hub) {
  const before = hub.sink.spans.length;
  const times = [];
  for (let call = 0; call < 200; call++) {
    const answer = await hub.rest(...rest(), {
      traceparent: `00-${"1".repeat(31)}${1 + (call % 9)}-${String(call + 1).padStart(16, "0")}-01`,
    });
    assert.equal(answer.status, 200);
    times.push([answer.ms, String(call + 1).padStart(16, "0"), answer]);
  }
  await hub.sink.gets(before + 200);
  const spans = new Map(hub.sink.spans.slice(before).map((span) => [span.parentSpanId, span]));
  compare(
    "REST",
    times.map(([time, parent]) => [time, spans.get(parent)]),
  );
  for (const [, parent, answer] of times) {
    const span = spans.get(parent);
    assert.deepEqual(
      [span["http.request.body.size"], span["http.response.body.size"], span["error.type"]],
      [answer.sent, Buffer.byteLength(answer.text), undefined],
    );
  }
}

async function mcpCalls(hub) {
  const before = hub.sink.spans.length;
  const sessions = [];
  for (let count = 0; count < 10; count++) sessions.push(await session(hub));
  const name = options.fork ? "hub__analyze_prompt" : "filesystem__list_allowed_directories";
  const args = options.fork ? { prompt: "look at this folder" } : {};
  const each = options.fork ? 1 : 20;
  const calls = await Promise.all(
    sessions.map(async (one) => {
      const own = [];
      for (let id = 1; id <= each; id++) own.push({ session: one.id, id: String(id), ...(await one.call(id, name, args)) });
      return own;
    }),
  );
  const expected = calls.flat().length * (options.fork ? 2 : 1);
  await hub.sink.gets(before + expected);
  const spans = hub.sink.spans.slice(before);
  assert.equal(spans.length, expected);
  const find = (call, kind) =>
    spans.filter((span) => span.kind === kind && span["mcp.session.id"] === call.session && span["jsonrpc.request.id"] === call.id);
  const found = calls.flat().map((call) => {
    const own = find(call, 2);
    assert.equal(own.length, 1);
    assert.equal(own[0]["http.response.body.size"], Buffer.byteLength(call.text));
    if (options.fork) {
      const [attempt, ...more] = find(call, 3);
      assert.deepEqual([more.length, attempt.traceId, attempt.parentSpanId], [0, own[0].traceId, own[0].spanId]);
      assert.deepEqual([attempt["gen_ai.usage.input_tokens"], attempt["gen_ai.usage.output_tokens"]], [10, 5]);
    }
    return [call.ms, own[0]];
  });
  compare(`MCP, 10 sessions at once, ${name}`, found);
  await alone(hub, sessions[0], name, args);
  return sessions;
}

/** One call after the other: the client's time is the hub's, and a request on this host. */
async function alone(hub, one, name, args) {
  const times = new Map();
  for (let id = 100; id < (options.fork ? 103 : 150); id++) times.set(String(id), (await one.call(id, name, args)).ms);
  const own = () => hub.sink.spans.filter((span) => span.kind === 2 && times.has(span["jsonrpc.request.id"]));
  await hub.sink.until("these calls", () => own().length === times.size);
  compare(
    `MCP, one call at a time`,
    own().map((span) => [times.get(span["jsonrpc.request.id"]), span]),
  );
}

/** The fork without Gemini: it tries nine times, then falls back; an error that it does not know stops it. */
async function withoutGemini(hub, [one]) {
  const faults = join(hub.folder, "fault");
  writeFileSync(faults, "429\n");
  const before = hub.sink.spans.length;
  const answer = await one.call(50, "hub__analyze_prompt", { prompt: "look at this folder" });
  rmSync(faults);
  assert.match(answer.text, /keyword/i);
  // The call's span is sent after those of its attempts.
  await hub.sink.until("the call", () => hub.sink.spans.some((span) => span.kind === 2 && span["jsonrpc.request.id"] === "50"));
  const spans = hub.sink.spans.slice(before);
  const attempts = spans.filter(isModel);
  assert.equal(attempts.length, 9);
  console.log(
    `429: ${attempts.length} attempts in ${text(answer.ms / 1000)} s, resend_count ${attempts.map((span) => span["http.request.resend_count"] ?? "-").join(" ")}`,
  );
  assert.ok(attempts.every((span) => span["error.type"] === "429" && span["hubwatch.injected"] === true));
  assert.deepEqual(
    spans.filter((span) => span.kind === 2).map((span) => span["hubwatch.injected"]),
    [true],
  );

  writeFileSync(faults, "400");
  const last = hub.sink.spans.length;
  one.call(51, "hub__analyze_prompt", { prompt: "look at this folder" }).catch(() => {});
  console.log(`400: the hub ended: ${JSON.stringify(await hub.ended)}`);
  await hub.sink.until("the call that it cut off", () => hub.sink.spans.slice(last).some((span) => span.kind === 2));
  const end = hub.sink.spans.slice(last);
  console.log(`400: ${end.map((span) => `${span.name} ${span["error.type"]} ${ms(span).toFixed(0)} ms`).join(", ")}`);
  assert.ok(end.filter((span) => isModel(span) && span["error.type"] === "400").length >= 3);
}

const hub = await start({ env: { HUBWATCH_ALLOW_FAULTS: "1" } });
try {
  await hub.sink.until("a heartbeat", () => hub.sink.heartbeats.length);
  await restCalls(hub);
  const sessions = await mcpCalls(hub);
  if (options.fork) await withoutGemini(hub, sessions);
  console.log("all of it agrees");
} finally {
  await hub.stop();
}
