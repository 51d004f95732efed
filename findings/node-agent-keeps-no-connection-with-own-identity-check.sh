#!/bin/bash
# Node's https.Agent keeps no connection for requests that bring a `checkServerIdentity` of their own.
#
# Guess: an agent with `keepAlive` uses a connection again for requests to the same host, port and TLS options. The docs name
#   `checkServerIdentity` among the options of a request as well as of an agent, and TLS with a key in common
#   (`pskCallback`) needs one, as there is no certificate.
# Versions: Node 24.21.0.
# Behaviour: a request with that option gets a connection of its own, and its agent destroys it afterwards, even if the
#   function is the same object each time. As an option of the agent it does no harm.
# Output seen:
#   option of the request: 3 connections for 3 requests
#   option of the agent: 1 connection for 3 requests
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/try.mjs" <<'CODE'
import { Agent, createServer, request } from 'node:https';
import { setTimeout } from 'node:timers/promises';

const tls = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-PSK-CHACHA20-POLY1305' };
const key = Buffer.alloc(32, 7);
const pskCallback = () => ({ psk: key, identity: 'one' });
const checkServerIdentity = () => undefined;

async function connectionsFor(ofAgent, ofRequest) {
  const server = createServer({ ...tls, pskCallback: () => key }, (_, answer) => answer.end());
  let connections = 0;
  server.on('secureConnection', () => (connections += 1));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const agent = new Agent({ ...tls, keepAlive: true, ...ofAgent });
  for (let sent = 0; sent < 3; sent += 1) {
    await new Promise((resolve, reject) => {
      const options = { agent, host: '127.0.0.1', port: server.address().port, ...tls, ...ofRequest };
      request(options, (answer) => answer.resume().on('end', resolve)).on('error', reject).end();
    });
    await setTimeout(50);
  }
  agent.destroy();
  server.close();
  return connections;
}

const ofRequest = await connectionsFor({}, { pskCallback, checkServerIdentity });
const ofAgent = await connectionsFor({ pskCallback, checkServerIdentity }, {});
console.log(`option of the request: ${ofRequest} connections for 3 requests`);
console.log(`option of the agent: ${ofAgent} connection for 3 requests`);
process.exit(ofRequest === 3 && ofAgent === 1 ? 0 : 1);
CODE
node "$folder/try.mjs"
