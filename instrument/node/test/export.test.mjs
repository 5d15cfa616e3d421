import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import net from "node:net";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Hub, MODULE } from "../fixtures/instrumented.mjs";
import { Sink } from "../fixtures/sink.mjs";

const traces = (sink) => sink.requests.filter(({ url }) => url === "/v1/traces");
const sent = ({ metrics }, error) => {
  const { sum } = metrics.find(({ name }) => name === "otel.sdk.processor.span.processed");
  assert.deepEqual([sum.isMonotonic, sum.aggregationTemporality], [true, 2]);
  const point = sum.dataPoints.find(({ attributes }) => (attributes[0]?.value.stringValue ?? undefined) === error);
  return Number(point.asInt);
};

// Several at once: most wait for a heartbeat.
describe("the export", { concurrency: 4 }, () => {
  test("a heartbeat comes at once when the hub listens, and tells what was sent", async (t) => {
    const hub = await Hub.start(t);
    const first = await hub.sink.until("a heartbeat", () => hub.sink.heartbeats[0]);
    assert.deepEqual([sent(first), sent(first, "queue_full")], [0, 0]);
    const uptime = first.metrics.find(({ name }) => name === "process.uptime");
    assert.ok(uptime.unit === "s" && uptime.gauge.dataPoints[0].asDouble < 15);
    await hub.rest("ok");
    const second = await hub.sink.until("the next", () => hub.sink.heartbeats[1]);
    assert.equal(sent(second), 1);
  });

  test("a request that is tried again has the same bytes, and nothing overtakes it", async (t) => {
    const sink = await Sink.start();
    t.after(() => sink.stop());
    sink.statuses = [503, 429, 502];
    const hub = await Hub.start(t, { sink });
    await hub.rest("ok");
    await sink.until("the first try", () => traces(sink).length === 1);
    await hub.rest("bad");
    await sink.gets(2);
    const [first, second, third, fourth, fifth] = traces(sink);
    assert.deepEqual([second.text, third.text, fourth.text], Array(3).fill(first.text));
    assert.notEqual(fifth.text, first.text);
    assert.deepEqual(
      sink.spans.map((span) => span["error.type"]),
      [undefined, "tool_error"],
    );
    assert.equal(first.headers["content-type"], "application/json");
  });

  test("a receiver that is away delays no call, and gets all when it comes", async (t) => {
    const away = await Sink.start();
    const { port } = away;
    await away.stop();
    const hub = await Hub.start(t, { sink: away });
    const answers = [];
    for (let call = 0; call < 20; call++) answers.push(await hub.rest("ok"));
    assert.ok(answers.every(({ status, ms }) => status === 200 && ms < 1_000));
    const back = await Sink.start(port);
    t.after(() => back.stop());
    assert.equal((await back.gets(20)).length, 20);
    assert.equal(hub.stderr, "");
  });

  test("a receiver that accepts and never answers delays no call", async (t) => {
    const silent = net.createServer(() => {}).listen(0, "127.0.0.1");
    await new Promise((done) => silent.once("listening", done));
    const hub = await Hub.start(t, { sink: { url: `http://127.0.0.1:${silent.address().port}`, stop() {} } });
    t.after(() => silent.close());
    for (let call = 0; call < 20; call++) assert.equal((await hub.rest("bad")).status, 200);
  });

  test("what the receiver refuses for good is counted and not sent again", async (t) => {
    const sink = await Sink.start();
    t.after(() => sink.stop());
    sink.statuses = [400];
    const hub = await Hub.start(t, { sink });
    await hub.rest("ok");
    await sink.until("the first", () => traces(sink).length === 1);
    await hub.rest("bad");
    assert.equal((await sink.gets(1))[0]["error.type"], "tool_error");
    const beat = await sink.until("a heartbeat after it", () => sink.heartbeats.find((beat) => sent(beat) === 1));
    assert.equal(sent(beat, "rejected"), 1);
  });

  test("a full queue keeps the oldest, and the lost ones are told", async (t) => {
    const away = await Sink.start();
    const { port } = away;
    await away.stop();
    const hub = await Hub.start(t, { sink: away });
    const number = (call) => String(call + 1).padStart(16, "0");
    const call = (number) => hub.rest("ok", {}, "filesystem", { traceparent: `00-${"1".repeat(32)}-${number}-01` });
    for (let first = 0; first < 5_000; first += 100)
      await Promise.all(Array.from({ length: 100 }, (_, next) => call(number(first + next))));
    const back = await Sink.start(port);
    t.after(() => back.stop());
    const beat = await back.until("what was lost is told", () => back.heartbeats.find((beat) => sent(beat, "queue_full") > 0));
    const lost = sent(beat, "queue_full");
    await back.gets(5_000 - lost);
    assert.equal(new Set(back.spans.map((span) => span.spanId)).size, 5_000 - lost);
    assert.ok(lost >= 100 && lost < 1_000, `${lost} lost`);
    const kept = new Set(back.spans.map((span) => span.parentSpanId));
    assert.ok(Array.from({ length: 4_000 }, (_, call) => number(call)).every((call) => kept.has(call)));
    assert.ok(Array.from({ length: 100 }, (_, call) => number(4_900 + call)).every((call) => !kept.has(call)));
  });

  test("the endpoint, its headers and the service's name are settings", async (t) => {
    const sink = await Sink.start();
    t.after(() => sink.stop());
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${sink.url}/v1/traces`,
      OTEL_EXPORTER_OTLP_HEADERS: "Authorization=Bearer%20x,x-more=a%3Db",
      OTEL_SERVICE_NAME: "the-hub",
    };
    const hub = await Hub.start(t, { sink, env });
    await hub.rest("ok");
    await sink.gets(1);
    const { headers } = traces(sink)[0];
    assert.deepEqual([headers.authorization, headers["x-more"], sink.resource["service.name"]], ["Bearer x", "a=b", "the-hub"]);
  });

  test("settings that are wrong are told once, and the hub works", async (t) => {
    const hub = await Hub.start(t, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: "nonsense" } });
    assert.equal((await hub.rest("ok")).status, 200);
    assert.match(hub.stderr, /^hubwatch instrumentation: [^\n]*\n$/);
  });

  test("it does nothing when it is disabled or loaded twice", async (t) => {
    const disabled = await Hub.start(t, { env: { OTEL_SDK_DISABLED: "true" } });
    await disabled.rest("ok");
    const twice = await Hub.start(t, { preloads: ["./models.mjs", "../hubwatch.mjs", "../hubwatch.mjs?again"] });
    await twice.rest("ok");
    await twice.rest("bad");
    assert.equal((await twice.sink.gets(2)).length, 2);
    assert.deepEqual(disabled.sink.requests, []);
  });

  test("a process that is no hub ends by itself, without a word and without a request", async (t) => {
    const sink = await Sink.start();
    t.after(() => sink.stop());
    const script = fileURLToPath(new URL("../fixtures/worker.mjs", import.meta.url));
    const env = { ...process.env, NODE_OPTIONS: `--import ${MODULE}`, OTEL_EXPORTER_OTLP_ENDPOINT: sink.url };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script], { env, timeout: 10_000 });
    assert.deepEqual([stdout, stderr, sink.requests], ["", "", []]);
  });
});
