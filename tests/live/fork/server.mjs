// A stdio MCP server with a tool that changes nothing and one that says nothing of that. Its name is its last argument.
// Usage: node server.mjs NODE_MODULES NAME
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, name] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (path) => import(pathToFileURL(require.resolve(path)).href);
const { Server } = await load("@modelcontextprotocol/sdk/server/index.js");
const { StdioServerTransport } = await load("@modelcontextprotocol/sdk/server/stdio.js");
const { ListToolsRequestSchema, CallToolRequestSchema } = await load("@modelcontextprotocol/sdk/types.js");

const server = new Server({ name, version: "1.0.0" }, { capabilities: { tools: {} } });
const inputSchema = { type: "object", properties: {} };
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [
    { name: "change", description: "changes something", inputSchema },
    { name: "whoami", description: "says its name", annotations: { readOnlyHint: true }, inputSchema },
  ],
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) => {
  if (params.name !== "whoami") throw new Error("nobody may call this");
  return { content: [{ type: "text", text: name }] };
});
await server.connect(new StdioServerTransport());
