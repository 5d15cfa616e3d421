// A real MCP client: connects to the hub, lists its tools, calls one twice, and leaves when its stdin closes.
// Usage: node client.mjs NODE_MODULES HUB_URL FOLDER
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { once } from "node:events";

const [modules, url, folder] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { SSEClientTransport } = await load("@modelcontextprotocol/sdk/client/sse.js");

const client = new Client({ name: "live-client", version: "1.0.0" });
await client.connect(new SSEClientTransport(new URL("/mcp", url)));
const { tools } = await client.listTools();
const tool = tools.map((tool) => tool.name).find((name) => name.endsWith("list_directory"));
for (let call = 0; call < 2; call += 1) {
  const answer = await client.callTool({ name: tool, arguments: { path: folder } });
  if (answer.isError) throw new Error(JSON.stringify(answer));
}
console.log(`called ${tool} twice, of ${tools.length} tools`);
process.stdin.resume();
await once(process.stdin, "end");
await client.close();
