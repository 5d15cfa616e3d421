// A server made with the official SDK. It answers over streamable HTTP, in JSON or with streams, and over the legacy transport.
// Usage: node server.mjs NODE_MODULES json|stream|legacy
// It prints its port, tells at GET /seen what it saw, and ends when its stdin closes.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { randomUUID } from "node:crypto";

const [modules, mode] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Server } = await load("@modelcontextprotocol/sdk/server/index.js");
const { StreamableHTTPServerTransport } = await load("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { SSEServerTransport } = await load("@modelcontextprotocol/sdk/server/sse.js");
const { ListToolsRequestSchema, CallToolRequestSchema } = await load("@modelcontextprotocol/sdk/types.js");

const seen = { names: [], versions: [], deleted: 0, streamsClosed: 0, answeredPing: 0 };
const transports = new Map();
const text = (value) => ({ content: [{ type: "text", text: JSON.stringify(value) }] });

const tools = {
  echo: (given) => text(given),
  fail: () => ({ ...text({ error: "as asked" }), isError: true }),
  slow: async ({ ms }) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return text({ ms });
  },
  // One notification beside the answer, one with it; and a ping, to which the client must reply.
  notify: async (_, server, extra) => {
    await server.notification({ method: "notifications/tools/list_changed" });
    const progress = { progressToken: 1, progress: 1 };
    await extra.sendNotification({ method: "notifications/progress", params: progress });
    await server.ping();
    seen.answeredPing += 1;
    return text({ done: true });
  },
};

function server() {
  const made = new Server({ name: "live-server", version: "1.0.0" }, { capabilities: { tools: { listChanged: true } } });
  const inputSchema = { type: "object" };
  made.setRequestHandler(ListToolsRequestSchema, () => ({ tools: Object.keys(tools).map((name) => ({ name, inputSchema })) }));
  made.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => {
    if (!(params.name in tools)) throw new Error(`no tool ${params.name}`);
    return tools[params.name](params.arguments ?? {}, made, extra);
  });
  made.oninitialized = () => seen.names.push(made.getClientVersion().name);
  return made;
}

async function streamable(request, response) {
  seen.versions.push(request.headers["mcp-protocol-version"] ?? null);
  const id = request.headers["mcp-session-id"];
  let transport = transports.get(id);
  if (id && !transport) return response.writeHead(404).end("Session not found");
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: mode === "json",
      onsessioninitialized: (id) => transports.set(id, transport),
      onsessionclosed: (id) => {
        seen.deleted += 1;
        transports.delete(id);
      },
    });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response);
}

async function legacy(request, response, url) {
  if (request.method === "GET") {
    const transport = new SSEServerTransport("/messages", response);
    transports.set(transport.sessionId, transport);
    response.on("close", () => transports.delete(transport.sessionId));
    return server().connect(transport);
  }
  const transport = transports.get(url.searchParams.get("sessionId"));
  if (!transport) return response.writeHead(404).end("Session not found");
  await transport.handlePostMessage(request, response);
}

const http = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/seen") return response.end(JSON.stringify({ ...seen, sessions: transports.size }));
  if (request.method === "GET") response.on("close", () => (seen.streamsClosed += 1));
  await (mode === "legacy" ? legacy(request, response, url) : streamable(request, response));
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
