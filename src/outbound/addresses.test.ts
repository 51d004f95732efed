import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { expect, test } from 'vitest';
import { guardLookup, isInternalAddress, isInternalHost } from './addresses.ts';

test.each([
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '192.0.0.192',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::127.0.0.1',
  '::8.8.8.8',
  '::808:808',
  '0:0:0:0:0:0:8.8.8.8',
  '::ffff:0:127.0.0.1',
  '127.1',
  '1.2.3',
  '01.02.03.04',
  'fe80::1%a.b-c',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '64:ff9b::7f00:1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b::',
  '64:ff9b:1::1',
  '2002:7f00:1::',
  '2001:0:1::1',
  'fc00::1',
  'fd12::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  'not an address',
])('%s is internal', (address) => {
  expect(isInternalAddress(address)).toBe(true);
});

test.each([
  '1.1.1.1',
  '172.32.0.1',
  '100.128.0.1',
  '203.0.113.80',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
])('%s is public', (address) => {
  expect(isInternalAddress(address)).toBe(false);
});

test.each([
  'http://2130706433/',
  'http://0x7f.1/',
  'http://0177.0.0.1/',
  'http://127.1/',
  'http://0/',
  'http://[::1]/',
  'http://[::ffff:127.0.0.1]/',
  'http://localhost/',
  'http://LOCALHOST./',
  'http://x.localhost/',
  'http://①②⑦.0.0.1/',
])('%s leads to this host', (url) => {
  expect(isInternalHost(new URL(url).hostname)).toBe(true);
});

function lookup(resolve: LookupFunction, all: boolean): Promise<LookupAddress[]> {
  return new Promise((done, fail) => {
    resolve('name', { all }, (error, address, family) => {
      if (error) fail(error);
      else done(typeof address === 'string' ? [{ address, family: family ?? 0 }] : address);
    });
  });
}

function resolver(...addresses: string[]): LookupFunction {
  return (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
}

test('a guarded lookup gives only the public ones of the addresses', async () => {
  const guarded = guardLookup(resolver('10.0.0.1', '1.1.1.1', '::1'));
  expect(await lookup(guarded, true)).toEqual([{ address: '1.1.1.1', family: 4 }]);
  expect(await lookup(guarded, false)).toEqual([{ address: '1.1.1.1', family: 4 }]);
});

test('a guarded lookup fails when a name has internal addresses only', async () => {
  await expect(lookup(guardLookup(resolver('10.0.0.1', '::1')), true)).rejects.toThrow('internal address');
  await expect(lookup(guardLookup(resolver()), true)).rejects.toThrow('internal address');
});
