#!/bin/bash
# dockerode formats the options of each request for its debug log although that is off, the agent's open connections included.
#
# Guess: without DEBUG=modem a request costs nothing for the log; what `debug` is given is formatted by `%o` if at all.
# Versions: Node 24.21.0; dockerode 5.0.1 with docker-modem (November 2026).
# Behaviour: `util.inspect(options, { showHidden: true, depth: null })` runs for each request, before `debug` looks whether it is
#   on. The options have the agent, so that all sockets that it holds are walked, and what hangs on them: the more
#   calls are under way at once, the more processor time each takes.
# Output seen:
#   DEBUG is off; one call formats options 1 time
#   with 40 calls under way its text is more than ten times as long
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund dockerode@5.0.1
cat > calls.cjs <<'CODE'
const http = require('node:http');
const util = require('node:util');

const lengths = [];
const inspect = util.inspect;
util.inspect = Object.assign((...given) => {
  const text = inspect(...given);
  if (given[0]?.agent) lengths.push(text.length);
  return text;
}, inspect);

const Docker = require('dockerode');
const waiting = [];
const server = http.createServer((request, response) => {
  if (request.url === '/info') response.end('{}');
  else waiting.push(response);
});
server.listen(0, '127.0.0.1', async () => {
  const agent = new http.Agent({ keepAlive: true });
  const docker = new Docker({ protocol: 'http', host: '127.0.0.1', port: server.address().port, agent });
  await docker.info();
  console.log(`DEBUG is ${process.env.DEBUG ? 'on' : 'off'}; one call formats options ${lengths.length} time`);
  const [alone] = lengths.splice(0);
  const calls = Array.from({ length: 40 }, () => docker.version());
  while (waiting.length < 40) await new Promise((resolve) => setTimeout(resolve, 10));
  lengths.splice(0);
  await docker.info();
  if (lengths[0] > 10 * alone) console.log('with 40 calls under way its text is more than ten times as long');
  for (const response of waiting) response.end('{}');
  await Promise.all(calls);
  server.close();
  agent.destroy();
});
CODE
env -u DEBUG node calls.cjs | tee seen
grep -qx 'DEBUG is off; one call formats options 1 time' seen
grep -qx 'with 40 calls under way its text is more than ten times as long' seen
