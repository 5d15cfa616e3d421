// Measures what the instrumentation costs a real hub: two hubs, one with it, are called by turns, so that whatever else the machine does
// meets both. See real.mjs; --rounds and --calls say how much.
import { options, percentile, start, text } from "./real.mjs";

const [rounds, calls] = [Number(options.rounds), Number(options.calls)];
const tool = options.fork ? "whoami" : "list_allowed_directories";
const hubs = { without: await start({ instrumented: false }), with: await start() };
const mean = (numbers) => numbers.reduce((total, number) => total + number, 0) / numbers.length;

const rss = () =>
  Object.entries(hubs)
    .map(([which, hub]) => `${which} ${text(hub.rss())} MiB`)
    .join(", ");

try {
  console.log(`idle: RSS ${rss()}`);
  const all = { without: [], with: [], difference: [] };
  for (let round = 0; round <= rounds; round++) {
    const times = { without: [], with: [] };
    for (let call = 0; call < calls; call++) {
      const order = call % 2 ? ["without", "with"] : ["with", "without"];
      for (const which of order) times[which].push((await hubs[which].rest(tool, {}, "filesystem")).ms);
    }
    // The first round warms both up.
    if (!round) continue;
    const p50 = Object.fromEntries(Object.entries(times).map(([which, own]) => [which, percentile(own, 0.5)]));
    for (const [which, own] of Object.entries(times)) all[which].push(...own);
    all.difference.push(p50.with - p50.without);
    console.log(
      `round ${round}: p50 without ${text(p50.without)} ms, with ${text(p50.with)} ms; mean ${text(mean(times.without))}, ${text(mean(times.with))} ms; RSS ${rss()}`,
    );
  }
  for (const which of ["without", "with"]) {
    console.log(
      `${which}: p50 ${text(percentile(all[which], 0.5))} ms, p95 ${text(percentile(all[which], 0.95))} ms, p99 ${text(percentile(all[which], 0.99))} ms, mean ${text(mean(all[which]))} ms`,
    );
  }
  const [low, middle, high] = [0, 0.5, 0.999].map((share) => percentile(all.difference, share));
  console.log(`difference of the rounds' p50: median ${text(middle)} ms, from ${text(low)} to ${text(high)} ms`);
  await new Promise((done) => setTimeout(done, 1_000));
  console.log(`spans: ${hubs.with.sink.spans.length} of ${(rounds + 1) * calls} calls`);
} finally {
  await Promise.all(Object.values(hubs).map((hub) => hub.stop()));
}
