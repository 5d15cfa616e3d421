// Many real MCP clients at once: each connects to the hub, lists its tools and calls one; when stdin closes they leave one
// after the other.
// Usage: node crowd.mjs NODE_MODULES HUB_URL FOLDER COUNT
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { once } from "node:events";

const [modules, url, folder, count] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { SSEClientTransport } = await load("@modelcontextprotocol/sdk/client/sse.js");

const clients = await Promise.all(
  Array.from({ length: Number(count) }, async (_, index) => {
    const client = new Client({ name: `crowd-${index}`, version: "1.0.0" });
    await client.connect(new SSEClientTransport(new URL("/mcp", url)));
    const { tools } = await client.listTools();
    const tool = tools.map((tool) => tool.name).find((name) => name.endsWith("list_directory"));
    const answer = await client.callTool({ name: tool, arguments: { path: folder } });
    if (answer.isError) throw new Error(JSON.stringify(answer));
    return client;
  }),
);
console.log(`${clients.length} clients called a tool`);
process.stdin.resume();
await once(process.stdin, "end");
// One after the other: each that leaves costs this hub thousands of log lines, during which it answers nobody.
for (const client of clients) {
  await client.close();
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
