import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Member } from '../../test/support/group-member.ts';
import { newKeyPair } from '../state/key-pair.ts';
import { NotBegun, type PeerCall } from './client.ts';
import type { Forwarded } from './peer.ts';
import { PEER_TLS } from './tls.ts';
import { readForwarded } from './word.ts';

/** A member that serves requests as a test wants. */
class Serving {
  readonly member: Member;
  mayServe = true;
  here: string[] = [];
  /** Requests that were served. */
  readonly served: Forwarded[] = [];
  onRequest: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => {
    response.end('served');
  };

  constructor(member: Member) {
    this.member = member;
    member.listener.serve(member, {
      mayServe: () => this.mayServe,
      has: ({ seeks }) => this.here.includes(seeks?.id ?? ''),
      serve: (request, response) => {
        const forwarded = readForwarded(request.headers);
        if (forwarded) this.served.push(forwarded);
        this.onRequest(request, response);
      },
      upgrade: (_request, socket, head) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.write(head);
        socket.pipe(socket);
      },
    });
  }
}

let one: Member;
let two: Serving;
beforeEach(async () => {
  one = await Member.start('group-one');
  two = new Serving(await Member.start('group-two'));
  one.others = [two.member.self];
  two.member.others = [one.self];
});
afterEach(async () => {
  await one[Symbol.asyncDispose]();
  await two.member[Symbol.asyncDispose]();
});

const never = new AbortController().signal;
const call = (given: Partial<PeerCall> = {}): PeerCall => ({
  ...{ method: 'POST', path: '/execute', headers: {}, forwarded: { owner: 'ann' }, signal: never },
  ...given,
});
const sendText = async (given: Partial<PeerCall> = {}) =>
  await text(await one.client.send(two.member.self, call(given)));

describe('a request for another control plane', () => {
  test('carries its owner and its body, and brings the answer', async () => {
    two.onRequest = (request, response) => void text(request).then((body) => response.end(`${request.url} ${body}`));
    const forwarded = { owner: 'Ä"nn', session: 's', approver: { name: 'bob' } };
    expect(await sendText({ path: '/execute?x=1', body: 'print(1)', forwarded })).toBe('/execute?x=1 print(1)');
    expect(two.served).toEqual([forwarded]);
    expect(await sendText({ body: undefined })).toBe('/execute ');
  });

  test('uses a connection again', async () => {
    const ports = new Set<number | undefined>();
    two.onRequest = (request, response) => {
      ports.add(request.socket.remotePort);
      request.resume().on('end', () => response.end());
    };
    for (let sent = 0; sent < 3; sent += 1) await sendText({ body: 'x' });
    expect(ports.size).toBe(1);
  });

  test('streams 200 MB both ways, and holds neither', async () => {
    two.onRequest = (request, response) => void pipeline(request, response).catch(() => {});
    const piece = Buffer.alloc(2 ** 20, 'x');
    const body = Readable.from(
      (function* () {
        for (let sent = 0; sent < 200; sent += 1) yield piece;
      })(),
    );
    const before = process.memoryUsage().rss;
    const answered = await one.client.send(two.member.self, call({ method: 'PUT', body }));
    let received = 0;
    for await (const chunk of answered) received += (chunk as Buffer).length;
    expect(received).toBe(200 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
  }, 60_000);

  test('does not read a body whose reader waits', async () => {
    const begun = Promise.withResolvers<IncomingMessage>();
    two.onRequest = (request) => begun.resolve(request);
    let sent = 0;
    async function* endless() {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(2 ** 20);
      }
    }
    const abort = new AbortController();
    const answered = one.client.send(two.member.self, call({ method: 'PUT', body: endless(), signal: abort.signal }));
    await begun.promise;
    await expect.poll(() => sent).toBeGreaterThan(0);
    // What fits into the buffers of both kernels, and no more.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toBeLessThan(30);
    abort.abort(new Error('enough'));
    await expect(answered).rejects.toThrow('enough');
  });

  test('is aborted at the other end when its caller goes away', async () => {
    const gone = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    two.onRequest = (_request, response) => {
      response.on('close', () => gone.resolve());
      begun.resolve();
    };
    const abort = new AbortController();
    const answered = one.client.send(two.member.self, call({ signal: abort.signal }));
    await begun.promise;
    abort.abort(new Error('gone'));
    await expect(answered).rejects.toThrow('gone');
    await gone.promise;
  });

  test('becomes another protocol', async () => {
    const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
    const upgraded = await one.client.upgrade(two.member.self, call({ method: 'GET', headers }));
    if (!('socket' in upgraded && 'head' in upgraded)) throw new Error('it was answered');
    upgraded.socket.write('hello');
    const [data] = await once(upgraded.socket, 'data');
    expect(String(data)).toBe('hello');
    upgraded.socket.destroy();
  });

  test('whose body is a stream may be answered before that is sent', async () => {
    two.onRequest = (_request, response) => void response.writeHead(413).end('too large');
    let asked = 0;
    async function* counted() {
      asked += 1;
      yield Buffer.from('x');
    }
    const forwarded = { owner: 'ann', isStream: true } as const;
    const refused = await one.client.send(two.member.self, call({ method: 'PUT', body: counted(), forwarded }));
    expect([refused.statusCode, await text(refused), asked]).toEqual([413, 'too large', 0]);
    two.onRequest = (request, response) => void pipeline(request, response).catch(() => {});
    const taken = await one.client.send(two.member.self, call({ method: 'PUT', body: counted(), forwarded }));
    expect([await text(taken), asked]).toEqual(['x', 1]);
  });

  test('brings an early answer, and then no more of its body is sent', async () => {
    two.onRequest = (_request, response) => {
      response.writeHead(413).end('too large');
    };
    async function* endless() {
      for (;;) yield Buffer.alloc(2 ** 16);
    }
    const answered = await one.client.send(two.member.self, call({ method: 'PUT', body: endless() }));
    expect([answered.statusCode, await text(answered)]).toEqual([413, 'too large']);
  });
});

describe('a request that is not begun', () => {
  const notBegun = async (given: Partial<PeerCall> = {}) => {
    for (const method of ['GET', 'POST']) {
      await expect(one.client.send(two.member.self, call({ method, body: 'x', ...given }))).rejects.toThrow(NotBegun);
    }
    expect(two.served).toEqual([]);
  };

  test('is one for a control plane that does not hold its session', async () => {
    two.mayServe = false;
    await notBegun();
  });

  test('is one for a control plane whose own lease has run out', async () => {
    two.member.isValid = false;
    await notBegun();
  });

  test('is one of a sender whose lease has run out', async () => {
    two.member.others = [];
    await notBegun();
  });

  test('is one of a sender whose lease has run out since its connection was made', async () => {
    two.onRequest = (request, response) => void request.resume().on('end', () => response.end());
    await sendText();
    two.served.length = 0;
    two.member.others = [];
    await notBegun();
  });

  test('is one with another key', async () => {
    two.member.others = [{ ...one.self, publicKey: newKeyPair().publicKey }];
    await notBegun();
  });

  test('is one with a key that is none', async () => {
    two.member.others = [{ ...one.self, publicKey: 'AAAA' }];
    await notBegun();
    await expect(one.client.send({ ...two.member.self, publicKey: '' }, call())).rejects.toThrow(NotBegun);
  });

  test('is one for a control plane that is gone', async () => {
    await two.member.listener.close();
    await notBegun();
  });

  test('is one for a control plane that hangs, once its lease has run out', async () => {
    const hanging = createTcpServer(() => {});
    hanging.listen(0, '127.0.0.1');
    await once(hanging, 'listening');
    const address = hanging.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const hung = { ...two.member.self, name: 'hung', address: `127.0.0.1:${port}` };
    one.others = [hung];
    const sent = one.client.send(hung, call());
    setImmediate(() => {
      one.others = [];
    });
    await expect(sent).rejects.toThrow(NotBegun);
    hanging.close();
  });
});

describe('a request that was begun', () => {
  test('has no known end when its control plane is gone', async () => {
    two.onRequest = (request) => {
      request.socket.destroy();
    };
    await expect(one.client.send(two.member.self, call({ body: 'x' }))).rejects.toMatchObject({
      code: 'session_moved',
    });
  });

  test('has no known end when its control plane hangs, and its lease has run out', async () => {
    two.onRequest = () => {
      one.others = [];
    };
    await expect(one.client.send(two.member.self, call({ body: 'x' }))).rejects.toMatchObject({
      code: 'session_moved',
    });
  });

  test('fails with the fault of its own body', async () => {
    async function* broken() {
      yield Buffer.from('x');
      throw new Error('broken');
    }
    await expect(one.client.send(two.member.self, call({ body: broken() }))).rejects.toMatchObject({
      cause: expect.objectContaining({ message: 'broken' }),
    });
  });
});

test('a control plane says whether it has something', async () => {
  two.here = ['key'];
  const seeks = (id: string) => one.client.has(two.member.self, 'ann', { kind: 'idempotency_key', id }, never);
  expect([await seeks('key'), await seeks('other')]).toEqual([true, false]);
  await two.member.listener.close();
  expect(await seeks('key')).toBe(false);
});

test('a connection without a key is refused, and so is one whose name nobody has', async () => {
  const port = Number(two.member.listener.address.split(':')[1]);
  const plain = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  const [refusal] = await once(plain, 'error');
  expect(refusal).toBeInstanceOf(Error);
  const psk = one.keys.keyFor('group-one', two.member.self) ?? Buffer.alloc(0);
  const stranger = connect({
    ...{ ...PEER_TLS, host: '127.0.0.1', port, checkServerIdentity: () => undefined },
    pskCallback: () => ({ psk, identity: 'stranger' }),
  });
  const [refused] = await once(stranger, 'error');
  expect(String(refused)).toContain('unknown psk identity');
});

test('a request that tells nothing of its caller is refused', async () => {
  const psk = one.keys.keyFor('group-one', two.member.self) ?? Buffer.alloc(0);
  const port = Number(two.member.listener.address.split(':')[1]);
  const socket = connect({
    ...{ ...PEER_TLS, host: '127.0.0.1', port, checkServerIdentity: () => undefined },
    pskCallback: () => ({ psk, identity: 'group-one' }),
  });
  await once(socket, 'secureConnect');
  socket.write('GET /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nglovebox-forwarded: e30\r\n\r\n');
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 /);
  expect(two.served).toEqual([]);
});
