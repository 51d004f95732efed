import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../log.ts';
import { type AskedBindings, readBindings } from '../../secrets/binding.ts';
import { removeSecret, setSecret } from '../../secrets/changes.ts';
import { keyPath, secretsPath } from '../../secrets/file.ts';
import { Secrets } from '../../secrets/secrets.ts';
import { type HeaderList, InjectionFailure } from '../injector.ts';
import { SecretInjector } from './secret-injector.ts';

const HOST = 'api.example.com';
const VALUE = 'canary-0123456789abcdef';
const NOTHING: AskedBindings = { hosts: [HOST], headers: [], queries: [], users: [] };

let place: { stateDir: string };
let injector: SecretInjector;
let log: string[];

beforeEach(() => {
  place = { stateDir: mkdtempSync(join(tmpdir(), 'glovebox-injector-')) };
  log = [];
  injector = new SecretInjector(
    new Secrets(place),
    createLog('debug', (line) => log.push(line)),
  );
});

afterEach(() => rmSync(place.stateDir, { recursive: true }));

function bind(asked: Partial<AskedBindings> = {}, owner?: string, value = VALUE, name = 'TOKEN'): void {
  const id = { name, ...(owner === undefined ? {} : { owner }) };
  setSecret(place, id, value, readBindings({ ...NOTHING, ...asked }));
}

const injected = (owner = 'alice', host = HOST, port = 80) => {
  const injection = injector.for(owner, host, port);
  if (!injection) throw new Error('there is none');
  return injection;
};
const sent = (headers: HeaderList = [], target = '/', owner = 'alice') => injected(owner).apply(headers, target);
const valuesOf = (headers: HeaderList, name: string) =>
  headers.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);

describe('a request to a host of a secret', () => {
  it('gets the header in place of what the code has sent, and asks for all, not compressed', () => {
    bind();
    const { headers, target } = sent(
      [
        ['Host', HOST],
        ['authorization', 'Bearer of-the-code'],
        ['AUTHORIZATION', 'again'],
        ['Accept-Encoding', 'gzip'],
        ['Range', 'bytes=0-7'],
        ['If-Range', '"x"'],
        ['Sec-WebSocket-Extensions', 'permessage-deflate'],
      ],
      '/a?b=c',
    );
    expect(headers).toEqual([
      ['Host', HOST],
      ['Authorization', `Bearer ${VALUE}`],
      ['Accept-Encoding', 'identity'],
    ]);
    expect(target).toBe('/a?b=c');
    expect(injected()).toMatchObject({ isPlain: false, port: 443, names: ['TOKEN'] });
  });

  it.each([
    ['/', '/?api_key=a%26b%20c%23d%24%261'],
    ['/x?a=1&b=%20', '/x?a=1&b=%20&api_key=a%26b%20c%23d%24%261'],
    ['/x?api_key=mine&a=1&api%5Fkey=two#part', '/x?a=1&api_key=a%26b%20c%23d%24%261'],
    ['/x?', '/x?api_key=a%26b%20c%23d%24%261'],
    ['*', '*'],
  ])('gets the parameter in place of what the code has sent: %s', (before, after) => {
    bind({ queries: ['api_key'] }, undefined, 'a&b c#d$&1');
    expect(sent([], before).target).toBe(after);
  });

  it('gets a password with its user, of which neither form comes back', async () => {
    bind({ users: ['git'] });
    const basic = Buffer.from(`git:${VALUE}`).toString('base64');
    expect(valuesOf(sent().headers, 'authorization')).toEqual([`Basic ${basic}`]);
    expect(injected().scrubText(`${basic} ${VALUE} ${Buffer.from(basic).toString('base64')}`)).not.toMatch(
      /Z2l0|canary/,
    );
  });

  it('that was encoded beforehand does not come back decoded', () => {
    const value = Buffer.from('user:canary-of-basic').toString('base64');
    bind({ headers: ['Authorization: Basic {}'] }, undefined, value);
    expect(injected().scrubText(`user:canary-of-basic canary-of-basic ${value}`)).toBe(
      '[secret TOKEN] [secret TOKEN] [secret TOKEN]',
    );
  });

  it('goes out without TLS only if the operator has said so', () => {
    bind({ hosts: [`http://${HOST}`] });
    expect(injected()).toMatchObject({ isPlain: true, port: 80 });
    expect(injector.for('alice', HOST, 443)).toBeUndefined();
  });

  it('is found by the port that the operator has named, and any spelling of the host', () => {
    bind({ hosts: [`${HOST}:8443`] });
    expect(injector.for('alice', HOST, 80)).toBeUndefined();
    for (const host of [HOST, 'API.Example.COM', `${HOST}.`]) expect(injected('alice', host, 8443).port).toBe(8443);
    for (const host of [`x${HOST}`, `x.${HOST}`, 'example.com'])
      expect(injector.for('alice', host, 8443)).toBeUndefined();
    expect(injector.addresses('alice')).toMatchObject([{ address: `http://${HOST}:8443`, host: HOST, port: 8443 }]);
  });
});

describe('two owners', () => {
  it('never share the secrets of one host', () => {
    bind({}, 'alice', 'canary-of-alice-1234');
    bind({}, 'bob', 'canary-of-bob-567890');
    expect(valuesOf(sent([], '/', 'alice').headers, 'authorization')).toEqual(['Bearer canary-of-alice-1234']);
    expect(valuesOf(sent([], '/', 'bob').headers, 'authorization')).toEqual(['Bearer canary-of-bob-567890']);
    expect(injector.for('carol', HOST, 80)).toBeUndefined();
    expect(injector.addresses('carol')).toEqual([]);
    // Nor can one find out whether a text is a secret of the other.
    expect(injected('alice').scrubText('canary-of-bob-567890')).toBe('canary-of-bob-567890');
  });

  it('get the shared one where they have none of their own, and both where these have other places', () => {
    bind({ headers: ['X-App: {}', 'authorization: {}'] }, undefined, 'canary-shared-1234', 'SHARED');
    bind({}, 'alice', 'canary-of-alice-1234');
    const of = (owner: string) => sent([], '/', owner).headers.filter(([name]) => name !== 'Accept-Encoding');
    expect(of('alice')).toEqual([
      ['Authorization', 'Bearer canary-of-alice-1234'],
      ['X-App', 'canary-shared-1234'],
    ]);
    expect(of('bob')).toEqual([
      ['X-App', 'canary-shared-1234'],
      ['authorization', 'canary-shared-1234'],
    ]);
  });

  it('one of whom goes without TLS does not take the secret of all along', () => {
    bind({ headers: ['X-App: {}'] }, undefined, 'canary-shared-1234', 'SHARED');
    bind({ hosts: [`http://${HOST}`] }, 'alice', 'canary-of-alice-1234');
    expect(injected('alice').isPlain).toBe(false);
    expect(JSON.stringify(sent([], '/', 'alice'))).not.toContain('alice');
  });
});

describe('a change', () => {
  it('counts from the next request on, and what runs is searched for what it has sent', () => {
    bind({}, 'alice', 'canary-first-12345');
    const running = injected();
    bind({}, 'alice', 'canary-second-1234');
    expect(valuesOf(sent().headers, 'authorization')).toEqual(['Bearer canary-second-1234']);
    expect(running.scrubText('canary-first-12345')).toBe('[secret TOKEN]');
    // The first may still be valid, and stand in what the host has kept.
    expect(injected().scrubText('canary-first-12345 canary-second-1234')).toBe('[secret TOKEN] [secret TOKEN]');
    removeSecret(place, { name: 'TOKEN', owner: 'alice' });
    expect(injector.for('alice', HOST, 80)).toBeUndefined();
  });

  it('does not make anything new where nothing has changed', () => {
    bind();
    expect(injected()).toBe(injected());
    bind({}, 'bob');
    expect(injected()).toBe(injected());
  });
});

describe('secrets that cannot be read', () => {
  const failure = (host = HOST) => {
    try {
      injector.for('alice', host, 80);
    } catch (error) {
      if (error instanceof InjectionFailure) return error.message;
      throw error;
    }
    return undefined;
  };

  it('are never left out, and the code hears nothing of files', () => {
    bind();
    rmSync(keyPath(place));
    expect(failure()).toBe('The secrets of this server cannot be read. Its log tells the operator why.');
    // Code can ask on and on.
    expect(failure()).toBe(failure());
    expect(log).toEqual([expect.stringContaining('their key, is not there')]);
    // Which hosts have none is known all the same.
    expect(failure('other.example')).toBeUndefined();
    writeFileSync(secretsPath(place), '{');
    expect(failure('other.example')).toContain('cannot be read');
  });
});

describe('an answer', () => {
  beforeEach(() => bind());

  it('has no secret in its headers, and addresses of the same host lead to where the secret is added', () => {
    const { headers } = injected().scrub([
      ['Location', `https://${HOST}/next?t=${VALUE}`],
      ['Location', `https://${HOST}:443/`],
      ['Location', `https://${HOST}:8443/`],
      ['Location', `https://${HOST}.evil.example/${encodeURIComponent(VALUE)}`],
      ['Location', `https://${HOST}@evil.example/`],
      ['Link', `<https://${HOST}/a?page=2>; rel="next", <https://other.example/>; rel="x"`],
      ['X-Echo', `Bearer ${VALUE}`],
      [`X-${VALUE}`, 'name'],
      ['Set-Cookie', `t=${Buffer.from(VALUE).toString('base64')}; Secure`],
      ['Strict-Transport-Security', 'max-age=1'],
      ['Content-Length', '10'],
      ['Content-Encoding', 'identity'],
      ['ETag', '"1"'],
    ]);
    expect(headers).toEqual([
      ['Location', `http://${HOST}/next?t=[secret TOKEN]`],
      ['Location', `http://${HOST}/`],
      ['Location', `https://${HOST}:8443/`],
      ['Location', `https://${HOST}.evil.example/[secret TOKEN]`],
      ['Location', `https://${HOST}@evil.example/`],
      ['Link', `<http://${HOST}/a?page=2>; rel="next", <https://other.example/>; rel="x"`],
      ['X-Echo', 'Bearer [secret TOKEN]'],
      ['Set-Cookie', 't=[secret TOKEN]Y=; Secure'],
      ['ETag', '"1"'],
    ]);
  });

  it('keeps its length where it has no body', () => {
    const length: HeaderList = [['Content-Length', '10']];
    expect(injected().scrub(length, 'head').headers).toEqual(length);
  });

  const ENCODERS = {
    gzip: zlib.gzipSync,
    'x-gzip': zlib.gzipSync,
    deflate: zlib.deflateSync,
    br: zlib.brotliCompressSync,
    ...('zstdCompressSync' in zlib ? { zstd: zlib.zstdCompressSync } : {}),
    'gzip, br': (bytes: Buffer) => zlib.brotliCompressSync(zlib.gzipSync(bytes)),
    identity: (bytes: Buffer) => bytes,
  };

  it.each(Object.entries(ENCODERS))('is decoded and searched: %s', async (encoding, encode) => {
    const { headers, body } = injected().scrub([['content-encoding', encoding]]);
    expect(headers).toEqual([]);
    const said = text(body);
    const bytes = encode(Buffer.from(`{"you sent": "Bearer ${VALUE}"}`));
    await pipeline(Readable.from(Array.from(bytes, (byte) => Buffer.from([byte]))), body);
    expect(await said).toBe('{"you sent": "Bearer [secret TOKEN]"}');
  });

  it('that is empty is that, whatever its encoding is said to be', async () => {
    const { body } = injected().scrub([
      ['content-encoding', 'gzip'],
      ['content-length', '0'],
    ]);
    const said = text(body);
    await pipeline(Readable.from([]), body);
    expect(await said).toBe('');
  });

  it.each(['compress', 'gzip, gzip, gzip', 'toString', 'aes128gcm'])(
    'with an encoding in which nothing is found is refused: %s',
    (encoding) => {
      expect(() => injected().scrub([['Content-Encoding', encoding]])).toThrow(InjectionFailure);
    },
  );

  it('whose compression is broken ends with an error that shows nothing', async () => {
    const { body } = injected().scrub([['content-encoding', 'gzip']]);
    const said = text(body).catch(String);
    const work = pipeline(Readable.from([zlib.gzipSync(VALUE).subarray(0, 15)]), body).catch(String);
    expect(`${await work} ${await said}`).toMatch(/unexpected end of file/);
    expect(`${await work} ${await said}`).not.toContain(VALUE);
  });

  it('that changes the protocol keeps its headers, and is masked without a change of length', async () => {
    const upgrade: HeaderList = [
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
    ];
    const { headers, body } = injected().scrub(upgrade, 'upgrade');
    expect(headers).toEqual(upgrade);
    const said = text(body);
    await pipeline(
      Readable.from([Buffer.concat([Buffer.from([0x81, VALUE.length + 1]), Buffer.from(`${VALUE}.`)])]),
      body,
    );
    expect(await said).toContain(`${'*'.repeat(VALUE.length)}.`);
  });
});
