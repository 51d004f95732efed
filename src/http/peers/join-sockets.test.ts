import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Member } from '../../../test/support/group-member.ts';
import { createLog } from '../../log.ts';
import type { Env } from '../route.ts';
import { createUpgrades, passUpgrades } from '../terminals/upgrades.ts';

const log = createLog('error', () => {});
const closing = new AbortController();
let one: Member;
let two: Member;
/** Sockets of the holder. */
let theirs: WebSocket[];
/** Answers of the server that callers reach, which it cuts off when their login ends. */
let answers: NonNullable<Env['Bindings']['outgoing']>[];
let close: () => void;
let url: string;

beforeEach(async () => {
  [one, two] = [await Member.start('group-one'), await Member.start('group-two')];
  one.others = [two.self];
  two.others = [one.self];
  [theirs, answers] = [[], []];
  const accept = (_request: Request, { upgrade }: Env['Bindings']) => {
    upgrade?.accept((socket) => theirs.push(socket));
    return new Response(null, { status: 204 });
  };
  two.listener.serve(two, {
    ...{ mayServe: () => true, has: () => false, serve: () => {} },
    upgrade: createUpgrades({ fetch: accept, log, closing: closing.signal }),
  });
  const passOn = async ({ headers }: Request, { upgrade, outgoing }: Env['Bindings']) => {
    if (outgoing) answers.push(outgoing);
    const passed = { ...Object.fromEntries(headers), Connection: 'Upgrade', Upgrade: 'websocket' };
    const call = { method: 'GET', path: '/', headers: passed, forwarded: { owner: 'ann' }, signal: closing.signal };
    const answer = await one.client.upgrade(two.self, call);
    if ('socket' in answer && 'head' in answer) upgrade?.passOn(answer);
    return new Response(null, { status: 204 });
  };
  const server = createServer();
  passUpgrades(server, createUpgrades({ fetch: passOn, log, closing: closing.signal }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/sessions/s/terminals/t/attach`;
  close = () => server.close();
});
afterEach(async () => {
  close();
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
});

test('a terminal of another server was cut off without a word when its login ended', async () => {
  const client = new WebSocket(url);
  const first = once(client, 'message');
  await once(client, 'open');
  theirs[0]?.send(Buffer.alloc(300_000, 'a'));
  await first;
  const ended = once(theirs[0] as WebSocket, 'close');
  answers[0]?.destroy();
  const [code, reason] = await once(client, 'close');
  expect([code, String(reason)]).toEqual([4401, 'the key or token is no longer valid']);
  // The other server hears of it, and leaves nothing open.
  expect((await ended)[0]).toBe(4401);
});

test('a terminal of another server ends with its code, and messages pass both ways', async () => {
  const client = new WebSocket(url);
  await once(client, 'open');
  client.send('to there');
  const [theirMessage] = await once(theirs[0] as WebSocket, 'message');
  theirs[0]?.send('to here');
  const [ourMessage] = await once(client, 'message');
  theirs[0]?.close(1001, 'bye');
  const [code, reason] = await once(client, 'close');
  expect([String(theirMessage), String(ourMessage), code, String(reason)]).toEqual([
    'to there',
    'to here',
    1001,
    'bye',
  ]);
});
