#!/bin/bash
# Node's HTTP hands out each piece of a body in memory of its own, and not as a part of what it read from the socket.
#
# Guess: the parser passes on slices of the buffer that was read, so that a body is not copied, and who keeps a piece of it keeps
#   the buffer; a buffer that is read into again would change pieces that were handed out before.
# Versions: Node 24.21.0; Node 20.20.2 does the same (Linux; November 2026).
# Behaviour: no piece of a body shares memory with the buffer that was read, neither in a client nor in a server that gets
#   its connection as a stream. So each byte of a body takes new memory twice, and a buffer may be used again as soon as the
#   listeners of `data` have returned.
# Output seen:
#   node v24.21.0: client: 20 pieces, 0 in the memory of a reading
#   node v24.21.0: server: 16 pieces, 0 in the memory of a reading
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund node@24.21.0
cat > bodies.mjs <<'CODE'
import http from 'node:http';
import { once } from 'node:events';
import { Duplex } from 'node:stream';

const BODY = Buffer.alloc(1_000_000, 'x');
const readings = new WeakSet();
let shared = 0;

/** Takes a body; how many pieces it had, and how many of them lie in the memory of a reading. */
async function count(who, message) {
  let pieces = 0;
  let within = 0;
  for await (const piece of message) {
    pieces += 1;
    if (readings.has(piece.buffer)) within += 1;
  }
  shared += within;
  console.log(`node ${process.version}: ${who}: ${pieces} pieces, ${within} in the memory of a reading`);
}

const server = http.createServer((_, response) => response.end(BODY)).listen(0, '127.0.0.1');
await once(server, 'listening');
const request = http.get({ port: server.address().port, host: '127.0.0.1', agent: false });
request.once('socket', (socket) => socket.prependListener('data', (reading) => readings.add(reading.buffer)));
const [answer] = await once(request, 'response');
await count('client', answer);
server.close();

const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
stream.on('data', (reading) => readings.add(reading.buffer));
const other = http.createServer();
const asked = once(other, 'request');
other.emit('connection', stream);
stream.push(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${BODY.length}\r\n\r\n`);
const [incoming] = await asked;
const counted = count('server', incoming);
for (let at = 0; at < BODY.length; at += 65536) stream.push(Buffer.from(new Uint8Array(BODY.subarray(at, at + 65536)).buffer));
await counted;
process.exit(shared === 0 ? 0 : 1);
CODE
node_modules/.bin/node bodies.mjs
