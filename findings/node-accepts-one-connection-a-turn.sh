#!/bin/bash
# Node accepts one new connection in each turn of its event loop, however many wait.
#
# Guess: when the listening socket is readable, all connections in its backlog are accepted in the same turn; a hundred
#   clients that connect at once to a server whose turns take 5 ms are all accepted after one or two turns.
# Versions: Node 24.21.0 with libuv 1.52.1 (Linux; November 2026); Node 20.20.2 with libuv 1.46.0 does the same.
# Behaviour: each turn accepts one. A hundred connections that come together are accepted over some 99 turns, so the last
#   of them waits for half a second while the loop is busy for 5 ms a turn, though its request has long arrived.
# Output seen:
#   node v24.21.0, libuv 1.52.1: 100 connections accepted over 99 turns, at most 1 in a turn
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund node@24.21.0
cat > accept.mjs <<'CODE'
import { spawn } from 'node:child_process';
import net from 'node:net';

const COUNT = 100;
/** The turn in which each connection was accepted. */
const turns = [];
let turn = 0;
const work = () => {
  turn += 1;
  for (const started = performance.now(); performance.now() - started < 5; );
  if (turns.length < COUNT) setImmediate(work);
  else report();
};
const report = () => {
  const most = Math.max(...turns.map((each) => turns.filter((other) => other === each).length));
  const { node, uv } = process.versions;
  console.log(`node v${node}, libuv ${uv}: ${COUNT} connections accepted over ${turns.at(-1) - turns[0]} turns, at most ${most} in a turn`);
  process.exit();
};
const server = net.createServer((socket) => {
  socket.on('error', () => {});
  turns.push(turn);
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const connect = `for (let at = 0; at < ${COUNT}; at += 1) require('net').connect(${port}, '127.0.0.1').on('error', () => {});`;
  spawn(process.execPath, ['-e', connect]);
  work();
});
CODE
./node_modules/.bin/node accept.mjs | tee seen
grep -q 'accepted over 9[0-9] turns, at most 1 in a turn' seen
