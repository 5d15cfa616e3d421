// Preloaded into the hub (NODE_OPTIONS=--import): answers in Gemini's place, so that a test needs neither a key nor the network. The
// prompt's words choose the categories. While the file FAULT_FILE exists, the HTTP status in it is the answer.
import { readFileSync } from "node:fs";

const HOST = "generativelanguage.googleapis.com";
const CATEGORIES = {
  github: "github", filesystem: "folder", memory: "recall", git: "clone", web: "website",
  docker: "docker", database: "postgres", python: "pip", vertex_ai: "vertex",
};

const fault = () => {
  try {
    return Number(readFileSync(process.env.FAULT_FILE, "utf8"));
  } catch {
    return 0;
  }
};

// The hub knows a quota that is used up by these words of Gemini's; any other error stops it.
const USED_UP = { code: 429, message: "Resource has been exhausted (e.g. check quota).", status: "RESOURCE_EXHAUSTED" };

const answer = (status, statusText, body) =>
  new Response(JSON.stringify(body), { status, statusText, headers: { "content-type": "application/json" } });

const real = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  if (!String(input?.url ?? input).includes(HOST)) return real(input, init);
  // As long as a model thinks at least: a client must be able to leave meanwhile.
  await new Promise((done) => setTimeout(done, 400));
  const status = fault();
  if (status) return answer(status, "Too Many Requests", { error: { ...USED_UP, code: status } });
  const prompt = (/USER REQUEST:\\n\\"(.*?)\\"/.exec(String(init?.body))?.[1] ?? "").toLowerCase();
  const categories = Object.keys(CATEGORIES).filter((category) => prompt.includes(CATEGORIES[category]));
  const chosen = { categories: categories.length ? categories : ["meta"], confidence: 0.93, reasoning: "by its words" };
  return answer(200, "OK", {
    candidates: [{ content: { role: "model", parts: [{ text: JSON.stringify(chosen) }] }, finishReason: "STOP" }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
  });
};
