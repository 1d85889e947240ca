// Prints what a URL answers to `fetch`, which takes its proxy from the environment if NODE_USE_ENV_PROXY is 1.
const answer = await fetch(process.argv[2], { signal: AbortSignal.timeout(10_000) });
if (!answer.ok) throw new Error(`status ${answer.status}`);
console.log(await answer.text());
