import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { type ApiServer, startApiServer } from '../../../../test/support/api-server.ts';
import { KubernetesClient } from './client.ts';
import { type ExecConnection, openExec, runExec } from './exec.ts';

const target = { namespace: 'sandboxes', pod: 'p', container: 'sandbox', command: ['cat', '-'] };
const success = '{"status":"Success"}';

function message(channel: number, bytes: string | Buffer = ''): Buffer {
  return Buffer.concat([Buffer.from([channel]), Buffer.from(bytes)]);
}

interface Opened extends AsyncDisposable {
  readonly server: ApiServer;
  readonly socket: WebSocket;
  readonly connection: ExecConnection;
  readonly stderr: string[];
}

/** Opens an exec, and takes its other end. */
async function open(): Promise<Opened> {
  const { promise, resolve } = Promise.withResolvers<WebSocket>();
  const server = await startApiServer({ exec: resolve });
  const stderr: string[] = [];
  const onStderr = (piece: Buffer) => stderr.push(piece.toString());
  const connection = await openExec(new KubernetesClient(server.access), { ...target, onStderr });
  const dispose = async () => {
    connection.destroy();
    await server[Symbol.asyncDispose]();
  };
  return { server, socket: await promise, connection, stderr, [Symbol.asyncDispose]: dispose };
}

test('asks for the command, and carries its streams and its exit code', async () => {
  await using opened = await open();
  const { socket, connection, stderr, server } = opened;
  expect(server.asked).toEqual([
    'GET /api/v1/namespaces/sandboxes/pods/p/exec?container=sandbox&command=cat&command=-&stdin=true&stdout=true&stderr=true',
  ]);
  for (const channel of [1, 2, 3]) socket.send(message(channel));
  socket.send(message(1, 'out'));
  socket.send(message(2, 'err'));
  socket.send(message(1, 'put'));
  const details = { causes: [{ reason: 'ExitCode', message: '7' }] };
  socket.send(message(3, JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details })));
  socket.close(1000);
  expect((await buffer(connection)).toString()).toBe('output');
  expect(stderr).toEqual(['err']);
  expect(await connection.ended).toEqual({ kind: 'exit', code: 7 });
});

test('input comes in messages of a bounded size, and its end is told', async () => {
  await using opened = await open();
  const { socket, connection } = opened;
  const received: Buffer[] = [];
  socket.on('message', (data: Buffer) => received.push(data));
  const bytes = Buffer.alloc(300_000, 'x');
  connection.cork();
  for (let at = 0; at < bytes.length; at += 1000) connection.write(bytes.subarray(at, at + 1000));
  connection.uncork();
  connection.end();
  await vi.waitFor(() => expect(received.at(-1)).toEqual(Buffer.from([255, 0])));
  const messages = received.slice(0, -1);
  expect(messages.every((one) => one[0] === 0)).toBe(true);
  expect(messages.length).toBeLessThan(6);
  expect(Buffer.concat(messages.map((one) => one.subarray(1)))).toEqual(bytes);
});

test('whoever writes faster than the server reads has to wait', async () => {
  await using opened = await open();
  const { socket, connection } = opened;
  socket.pause();
  let written = 0;
  const chunk = Buffer.alloc(1 << 20);
  while (written < 64 && connection.write(chunk)) written += 1;
  expect(connection.writableNeedDrain).toBe(true);
  expect(written).toBeLessThan(64);
  socket.resume();
  await once(connection, 'drain');
});

test('a server that writes faster than the output is read has to wait', async () => {
  await using opened = await open();
  const { socket, connection } = opened;
  const chunk = message(1, Buffer.alloc(32 * 1024));
  let sent = 0;
  const send = async () => {
    await new Promise((done) => socket.send(chunk, done));
    sent += 1;
  };
  const all = Array.from({ length: 1024 }, send);
  connection.read(0);
  // Far more turns than all of it would take.
  for (let turn = 0; turn < 5000; turn += 1) await setImmediate();
  expect(sent).toBeLessThan(1024);
  expect(connection.readableLength).toBeGreaterThan(0);
  expect(connection.readableLength).toBeLessThan(1 << 20);
  connection.resume();
  await Promise.all(all);
});

test('output is read by pieces, and ends with the program', async () => {
  await using opened = await open();
  const { socket, connection } = opened;
  const pieces: string[] = [];
  connection.readPieces((piece) => pieces.push(piece.toString()));
  const ended = once(connection, 'end');
  socket.send(message(1, 'a'));
  socket.send(message(1, 'b'));
  socket.send(message(3, success));
  socket.close(1000);
  await ended;
  expect(pieces.join('')).toBe('ab');
});

test('an end without a status was taken for the end of the program', async () => {
  await using opened = await open();
  opened.connection.resume();
  opened.socket.close(1000);
  expect(await opened.connection.ended).toMatchObject({ kind: 'broken', why: expect.stringContaining('the node') });
  expect(opened.connection.destroyed).toBe(true);
});

test('an API server that dies breaks the connection', async () => {
  await using opened = await open();
  opened.server.breakAll();
  expect(await opened.connection.ended).toEqual({ kind: 'broken', why: 'closed with 1006' });
});

test('a program that could not be started is told as the server says', async () => {
  await using opened = await open();
  const text = 'exec: "nothing": executable file not found in $PATH';
  opened.socket.send(message(3, JSON.stringify({ status: 'Failure', reason: 'InternalError', message: text })));
  opened.socket.close(1000);
  expect(await opened.connection.ended).toEqual({ kind: 'refused', message: text });
});

test('an API server that is silent to two questions is gone', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  try {
    await using opened = await open();
    opened.socket.pause();
    for (let round = 0; round < 3; round += 1) vi.advanceTimersByTime(15_000);
    expect(await opened.connection.ended).toMatchObject({ kind: 'broken', why: expect.stringContaining('not answer') });
  } finally {
    vi.useRealTimers();
  }
});

test('a pod that is gone is a lost sandbox, and an old server is told as such', async () => {
  await using old = await startApiServer({ exec: (socket) => socket.close(), protocols: [] });
  await expect(openExec(new KubernetesClient(old.access), target)).rejects.toThrow('speak "v5.channel.k8s.io"');
  await using server = await startApiServer({
    refuseExec: { status: 404, body: { reason: 'NotFound', details: { kind: 'pods' } } },
  });
  await expect(openExec(new KubernetesClient(server.access), target)).rejects.toMatchObject({ code: 'sandbox_lost' });
});

test('short programs are run to their end', async () => {
  await using server = await startApiServer({
    exec: (socket) => {
      socket.send(message(1, '{"left":0}'));
      socket.send(message(2, 'note'));
      socket.send(message(3, success));
      socket.close(1000);
    },
  });
  const client = new KubernetesClient(server.access);
  const outcome = await runExec(client, target, 5000);
  expect(outcome).toEqual({ end: { kind: 'exit', code: 0 }, stdout: '{"left":0}', stderr: 'note' });
  expect(server.asked[0]).not.toContain('stdin');
});

test('a short program that does not end is left', async () => {
  await using server = await startApiServer({ exec: () => {} });
  const { end } = await runExec(new KubernetesClient(server.access), target, 50);
  expect(end).toEqual({ kind: 'broken', why: 'no end within 50 ms' });
});
