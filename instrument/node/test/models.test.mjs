import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Hub } from "../fixtures/instrumented.mjs";

const isModel = (span) => span.kind === 3;

async function analyzed(t, env, args, tool = "hub__analyze_prompt") {
  const hub = await Hub.start(t, { env });
  const session = await hub.connect();
  const answer = await session.call(1, tool, args);
  await hub.sink.until(
    "the call and its attempts",
    () => hub.sink.spans.some((span) => span.kind === 2) && hub.sink.spans.some(isModel),
  );
  const attempts = hub.sink.spans.filter(isModel);
  return { hub, session, answer: answer.message.result, attempts, call: hub.sink.spans.find((span) => span.kind === 2) };
}

test("an attempt is a child of the tool call that causes it, with model, tokens and finish reasons", async (t) => {
  const { attempts, call, session } = await analyzed(t, {});
  const [span] = attempts;
  assert.equal(span.name, "generate_content gemini-2.5-flash");
  assert.deepEqual([span.traceId, span.parentSpanId, span.status], [call.traceId, call.spanId, {}]);
  assert.deepEqual(Object.fromEntries(span.attributes.map(({ key }) => [key, span[key]])), {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.provider.name": "gcp.gemini",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gen_ai.response.model": "gemini-2.5-flash-001",
    "gen_ai.response.finish_reasons": ["STOP"],
    "gen_ai.usage.input_tokens": 310,
    "gen_ai.usage.output_tokens": 40,
    "gen_ai.usage.reasoning.output_tokens": 12,
    "http.response.status_code": 200,
    "server.address": "generativelanguage.googleapis.com",
    "mcp.session.id": session.id,
    "jsonrpc.request.id": "1",
    "gen_ai.tool.name": "hub__analyze_prompt",
  });
  assert.equal(call["mcphub.server.name"], undefined);
});

test("OpenAI's and Anthropic's answers are understood, streams included", async (t) => {
  const openai = (await analyzed(t, {}, {}, "server__openai")).attempts[0];
  assert.equal(openai.name, "chat a-model");
  const told = (span) =>
    [
      "provider.name",
      "response.model",
      "usage.input_tokens",
      "usage.output_tokens",
      "usage.reasoning.output_tokens",
      "response.finish_reasons",
    ].map((name) => span[`gen_ai.${name}`]);
  assert.deepEqual(told(openai), ["openai", "a-model-0613", 9, 7, 3, ["stop"]]);
  const anthropic = (await analyzed(t, {}, {}, "server__anthropic")).attempts[0];
  assert.deepEqual(told(anthropic), ["anthropic", "claude-x", 25, 15, undefined, ["end_turn"]]);
});

test("other hosts are left alone, and followed when a variable names them", async (t) => {
  const hub = await Hub.start(t);
  const session = await hub.connect();
  await session.call(1, "server__other");
  assert.equal((await session.call(2, "server__invalid")).message.result.answer, "TypeError");
  assert.deepEqual(
    (await hub.sink.gets(2)).map((span) => span.kind),
    [2, 2],
  );
  assert.equal(hub.stderr, "");
  const named = (await analyzed(t, { HUBWATCH_LLM_HOSTS: "local:11434=openai,example.com=anthropic" }, {}, "server__other"))
    .attempts[0];
  assert.deepEqual([named["gen_ai.provider.name"], named["server.address"]], ["anthropic", "example.com"]);
});

test("further attempts of a call are counted from its first", async (t) => {
  const { hub, session } = await analyzed(t, { FETCH_STATUS: "429" }, { times: 9 });
  await hub.sink.gets(10);
  const attempts = hub.sink.spans.filter(isModel);
  assert.deepEqual(
    attempts.map((span) => span["http.request.resend_count"]),
    [undefined, 1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.deepEqual(
    new Set(attempts.map((span) => `${span["error.type"]} ${span["http.response.status_code"]} ${span.status.code}`)),
    new Set(["429 429 2"]),
  );
  await session.call(2, "hub__analyze_prompt");
  await hub.sink.gets(12);
  assert.equal(hub.sink.spans.filter(isModel)[9]["http.request.resend_count"], undefined);
});

test("a failure without an answer is named by its code", async (t) => {
  const refused = await analyzed(t, { FETCH_REFUSED: "1" });
  assert.deepEqual([refused.attempts[0]["error.type"], refused.answer.answers[0].error], ["ECONNREFUSED", "TypeError"]);
  const late = await analyzed(t, { FETCH_NEVER: "1" }, { ms: 50 }, "server__timed");
  assert.deepEqual([late.attempts[0]["error.type"], late.answer.answer], ["timeout", "TimeoutError"]);
});

test("an answer that is no JSON is a failed attempt, and the hub gets it as it is", async (t) => {
  const { attempts, answer } = await analyzed(t, { FETCH_BODY: "<html>" });
  assert.deepEqual([attempts[0]["error.type"], answer.answers[0].text], ["invalid_response", "<html>"]);
});

test("an answer of another form is passed on, and gives what it has", async (t) => {
  const odd = '{"candidates":{},"choices":[null,7],"usage":{"input_tokens":"many"},"model":"odd"}';
  const { attempts, answer, hub } = await analyzed(t, { FETCH_BODY: odd });
  assert.deepEqual(
    [answer.answers[0].text, attempts[0]["gen_ai.response.model"], attempts[0]["error.type"]],
    [odd, "odd", undefined],
  );
  assert.equal(attempts[0]["gen_ai.usage.input_tokens"], undefined);
  assert.equal(hub.stderr, "");
});

test("an answer that is too long gives no tokens, and the hub gets all of it", async (t) => {
  const { attempts, answer } = await analyzed(t, { FETCH_PADDING: String(3 << 20) });
  assert.deepEqual([attempts[0]["error.type"], attempts[0]["gen_ai.usage.input_tokens"]], [undefined, undefined]);
  assert.ok(answer.answers[0].text.length > 3 << 20);
});

test("the last attempt before the hub exits is sent, and the call that it cut off", async (t) => {
  const hub = await Hub.start(t, { env: { FETCH_STATUS: "400" } });
  const session = await hub.connect();
  session.call(1, "server__fail_and_exit").catch(() => {});
  assert.deepEqual(await hub.ended, { code: 1, signal: null });
  const spans = await hub.sink.gets(2);
  assert.deepEqual(
    spans.map((span) => [span.kind, span["error.type"]]),
    [
      [3, "400"],
      [2, "no_answer"],
    ],
  );
});

const folder = (t) => {
  const made = mkdtempSync(join(tmpdir(), "hubwatch-"));
  t.after(() => rmSync(made, { recursive: true }));
  return join(made, "fault");
};

test("a fault answers in the model's place as long as the file is there", async (t) => {
  const file = folder(t);
  const hub = await Hub.start(t, { env: { HUBWATCH_ALLOW_FAULTS: "1", HUBWATCH_FAULT_FILE: file } });
  const session = await hub.connect();
  const answers = [];
  for (const [id, said] of ["429\n", "500", "garbage", undefined].entries()) {
    if (said) writeFileSync(file, said);
    else rmSync(file);
    answers.push((await session.call(id, "hub__analyze_prompt")).message.result.answers[0]);
  }
  writeFileSync(file, "timeout");
  answers.push((await session.call(9, "server__timed", { ms: 50 })).message.result.answer);
  const [quota, internal, garbage, normal, late] = answers;
  const told = { code: 429, message: "Resource has been exhausted (e.g. check quota).", status: "RESOURCE_EXHAUSTED" };
  assert.deepEqual([quota.status, quota.statusText, JSON.parse(quota.text)], [429, "Too Many Requests", { error: told }]);
  assert.deepEqual([internal.status, internal.statusText], [500, "Internal Server Error"]);
  assert.throws(() => JSON.parse(garbage.text));
  assert.equal(normal.status, 200);
  assert.equal(late, "TimeoutError");
  const spans = await hub.sink.gets(10);
  const model = spans.filter(isModel).map((span) => [span["error.type"], span["hubwatch.injected"]]);
  assert.deepEqual(model, [
    ["429", true],
    ["500", true],
    ["invalid_response", true],
    [undefined, undefined],
    ["timeout", true],
  ]);
  const calls = spans.filter((span) => !isModel(span)).map((span) => span["hubwatch.injected"]);
  assert.deepEqual(calls, [true, true, true, undefined, true]);
});

test("nothing is injected without the variable, whatever the file says", async (t) => {
  const file = folder(t);
  writeFileSync(file, "429");
  for (const allowed of [{}, { HUBWATCH_ALLOW_FAULTS: "0" }]) {
    const { answer, attempts } = await analyzed(t, { HUBWATCH_FAULT_FILE: file, ...allowed });
    assert.deepEqual([answer.answers[0].status, attempts[0]["hubwatch.injected"]], [200, undefined]);
  }
});
