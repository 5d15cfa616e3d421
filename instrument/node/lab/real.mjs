// Starts a real hub with or without the instrumentation, for what is checked and measured by hand.
//   --modules DIR   node_modules with mcp-hub, @modelcontextprotocol/sdk and server-filesystem (tests/live/run installs them)
//   --fork DIR      a checkout of the fork with its node_modules; else the hub of --modules
//   --runtime FILE  a node or bun; else the node that runs this
//   --legacy        the fork's other logger
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Hub } from "../fixtures/instrumented.mjs";
import { Sink } from "../fixtures/sink.mjs";

const tree = (path) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

export const { values: options } = parseArgs({
  options: {
    modules: { type: "string" },
    fork: { type: "string" },
    runtime: { type: "string", default: process.execPath },
    legacy: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "500" },
  },
});
if (!options.modules) throw new Error("--modules DIR is missing");
const modules = resolve(options.modules);

const freePort = () =>
  new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

function configuration(folder) {
  if (!options.fork) {
    mkdirSync(join(folder, "data"));
    const server = join(modules, "@modelcontextprotocol/server-filesystem/dist/index.js");
    return { mcpServers: { filesystem: { command: "node", args: [server, join(folder, "data")] } } };
  }
  const server = (name) => [name, { command: "node", args: [tree("tests/live/fork/server.mjs"), modules, name] }];
  const promptBasedFiltering = { enabled: true, defaultExposure: "meta-only", enableMetaTools: true, sessionIsolation: true };
  const llmCategorization = { enabled: true, provider: "gemini", apiKey: "stand-in", model: "gemini-2.5-flash" };
  return {
    toolFiltering: { enabled: true, mode: "prompt-based", promptBasedFiltering, llmCategorization },
    mcpServers: Object.fromEntries(["filesystem", "github", "memory"].map(server)),
  };
}

/** A running hub. `instrumented: false` leaves the instrumentation out. */
export async function start({ instrumented = true, env = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "hubwatch-lab-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(configuration(folder)));
  const hub = new Hub();
  hub.folder = folder;
  hub.port = await freePort();
  hub.sink = await Sink.start();
  const preloads = [
    ...(options.fork ? [tree("tests/live/fork/gemini.mjs")] : []),
    ...(instrumented ? [tree("instrument/node/hubwatch.mjs")] : []),
  ];
  const bun = /bun$/.test(options.runtime);
  const cli = options.fork ? "src/utils/cli.js" : join(modules, "mcp-hub/dist/cli.js");
  const loads = preloads.flatMap((file) => [bun ? "--preload" : "--import", file]);
  const output = openSync(join(folder, "hub.out"), "w");
  hub.process = spawn(
    options.runtime,
    [...(bun ? loads : []), cli, "--port", String(hub.port), "--config", join(folder, "config.json")],
    {
      cwd: options.fork ?? folder,
      env: {
        ...process.env,
        NODE_OPTIONS: bun ? "" : loads.join(" "),
        HOME: folder,
        XDG_STATE_HOME: join(folder, "state"),
        ENABLE_PINO_LOGGER: String(!options.legacy),
        HUBWATCH_FAULT_FILE: join(folder, "fault"),
        FAULT_FILE: join(folder, "stand-in-fault"),
        OTEL_EXPORTER_OTLP_ENDPOINT: hub.sink.url,
        ...env,
      },
      stdio: ["ignore", output, output],
    },
  );
  hub.ended = new Promise((done) => hub.process.once("exit", (code, signal) => done({ code, signal })));
  hub.rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${hub.process.pid}/status`, "utf8"))[1]) / 1024;
  hub.output = () => readFileSync(join(folder, "hub.out"), "utf8");
  hub.stop = async () => {
    hub.process.kill("SIGKILL");
    await hub.ended;
    await hub.sink.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  await ready(hub);
  return hub;
}

async function ready(hub) {
  const expected = options.fork ? 3 : 1;
  for (const until = Date.now() + 60_000; Date.now() < until; await new Promise((done) => setTimeout(done, 200))) {
    try {
      const get = async (path) => (await fetch(`http://127.0.0.1:${hub.port}${path}`)).json();
      const { servers } = await get("/api/servers");
      if (
        (await get("/api/health")).state === "ready" &&
        servers.filter(({ status }) => status === "connected").length === expected
      )
        return;
    } catch {}
  }
  throw new Error(`the hub is not ready: ${hub.output().slice(-2_000)}`);
}

/** An MCP session that has shaken hands. */
export async function session(hub) {
  const opened = await hub.connect();
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "lab", version: "1" } };
  await opened.ask(0, "initialize", params);
  await opened.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  return opened;
}

export const ms = (span) => Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
export const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
export const percentile = (numbers, share) => sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))];
export const text = (number) => number.toFixed(2);
