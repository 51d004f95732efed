import { describe, expect, it, test } from 'vitest';
import { parsePatterns } from './pattern.ts';
import { checkCovered, decide, type LevelName, WebPolicy } from './policy.ts';
import { PrivateNetworks } from './private-networks.ts';

const level = (name: LevelName, ...texts: string[]) => ({ name, patterns: parsePatterns(texts) });

describe('what code may reach', () => {
  it('are the hosts of the operator, at the ports of the web if none is named', () => {
    const levels = [level('operator', 'api.example.com', '*.example.org:8443', 'any.example:*')];
    expect(decide(levels, 'api.example.com', 443)).toMatchObject({ allowed: true, rule: 'api.example.com' });
    expect(decide(levels, 'api.example.com', 80)).toMatchObject({ allowed: true });
    expect(decide(levels, 'api.example.com', 22)).toEqual({
      ...{ allowed: false, rule: 'port', level: 'operator', ports: '80, 443' },
    });
    expect(decide(levels, 'x.example.org', 8443)).toMatchObject({ allowed: true, rule: '*.example.org:8443' });
    expect(decide(levels, 'x.example.org', 443)).toMatchObject({ allowed: false, rule: 'port' });
    expect(decide(levels, 'any.example', 1)).toMatchObject({ allowed: true });
    expect(decide(levels, 'evil.example', 443)).toMatchObject({ allowed: false, rule: 'host', level: 'operator' });
  });

  it('must be allowed by every level', () => {
    const levels = [level('operator', '*.example.com'), level('key', 'a.example.com', 'b.example.com')];
    expect(decide(levels, 'a.example.com', 443)).toMatchObject({ allowed: true, rule: '*.example.com' });
    expect(decide(levels, 'c.example.com', 443)).toMatchObject({ allowed: false, level: 'key' });
    const narrow = [...levels, level('session', 'b.example.com:443')];
    expect(decide(narrow, 'a.example.com', 443)).toMatchObject({ allowed: false, level: 'session' });
    expect(decide(narrow, 'b.example.com', 80)).toMatchObject({ allowed: false, rule: 'port', level: 'session' });
    expect(decide([...narrow, level('call')], 'b.example.com', 443)).toMatchObject({ allowed: false, level: 'call' });
  });

  it('keeps the ports of the level above where a narrower one names none', () => {
    const levels = [level('operator', 'api.example.com:8443'), level('call', 'api.example.com')];
    expect(decide(levels, 'api.example.com', 8443)).toMatchObject({ allowed: true });
    expect(decide(levels, 'api.example.com', 443)).toMatchObject({ allowed: false, level: 'operator' });
  });

  it('says which hosts plain requests reach over TLS, and which addresses are named', () => {
    const levels = [level('operator', 'https://api.example.com', '10.0.0.7:5000', 'plain.example')];
    expect(decide(levels, 'api.example.com', 443)).toMatchObject({ isTls: true, isNamedAddress: false });
    expect(decide(levels, 'api.example.com', 80)).toMatchObject({ allowed: false, rule: 'port' });
    expect(decide(levels, 'plain.example', 80)).toMatchObject({ isTls: false });
    expect(decide(levels, '10.0.0.7', 5000)).toMatchObject({ isNamedAddress: true });
  });

  it('is what the keys of an owner leave of it, and nothing without a valid key', () => {
    const keys = new Map([
      ['alice', [['a.example.com', 'other.example']]],
      ['bob', []],
    ]);
    const policy = new WebPolicy(['*.example.com', 'git.example:22'], (owner) => keys.get(owner));
    const reach = (owner: string) => policy.reachOf(owner).map(({ text }) => text);
    expect(reach('alice')).toEqual(['a.example.com']);
    expect(reach('bob')).toEqual(['*.example.com', 'git.example:22']);
    expect(reach('carol')).toEqual([]);
    expect(decide(policy.levelsOf('carol'), 'a.example.com', 443)).toMatchObject({ allowed: false, level: 'key' });
    keys.set('bob', [['none']]);
    expect(decide(policy.levelsOf('bob'), 'a.example.com', 443)).toMatchObject({ allowed: false, level: 'key' });
  });
});

describe('a narrowing', () => {
  const above = [
    level('operator', '*.example.com', 'git.example:8443', 'all.example:*'),
    level('key', '*.example.com:443'),
  ];

  it.each([['a.example.com'], ['a.example.com:443'], ['*.b.example.com']])('%s is covered', (text) => {
    expect(() => checkCovered(parsePatterns([text]), above)).not.toThrow();
  });

  it.each([
    ['evil.example', '"evil.example" in "web" is more than the operator allows.'],
    ['a.example.com:22', 'more than the operator allows'],
    ['a.example.com:80', 'more than the key allows'],
    ['a.example.com:*', 'more than the operator allows'],
    ['all.example:22', 'more than the key allows'],
    ['*', 'more than the operator allows'],
  ])('%s is refused by name', (text, message) => {
    expect(() => checkCovered(parsePatterns([text]), above)).toThrow(message);
  });

  it('may name the ports of several patterns together', () => {
    const both = [level('operator', 'a.example:80', 'a.example:443')];
    expect(() => checkCovered(parsePatterns(['a.example:80', 'a.example:443']), both)).not.toThrow();
  });
});

describe('addresses that are not public', () => {
  const nothingOwn = () => new Set<string>();

  test.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '168.63.129.16',
    '100.100.100.200',
    '::1',
    '::ffff:10.0.0.1',
    'fd00:ec2::254',
    'fe80::1%eth0',
    '64:ff9b::a00:1',
    '0.0.0.0',
    '255.255.255.255',
    '224.0.0.1',
  ])('%s is refused', (address) => {
    expect(new PrivateNetworks([], nothingOwn).isRefused(address)).toBe(true);
  });

  it('may be named by the operator, as addresses and networks', () => {
    const networks = new PrivateNetworks(['10.1.0.0/16', '192.168.1.5', 'fd00::/8'], nothingOwn);
    expect(networks.isRefused('10.1.2.3')).toBe(false);
    expect(networks.isRefused('::ffff:10.1.2.3')).toBe(false);
    expect(networks.isRefused('10.2.0.1')).toBe(true);
    expect(networks.isRefused('192.168.1.5')).toBe(false);
    expect(networks.isRefused('192.168.1.6')).toBe(true);
    expect(networks.isRefused('fd12::1')).toBe(false);
    expect(networks.isRefused('1.1.1.1')).toBe(false);
  });

  it('are also those of this machine, where they look public', () => {
    const networks = new PrivateNetworks([], () => new Set(['203.0.113.9']));
    expect(networks.isRefused('203.0.113.9')).toBe(true);
    expect(networks.isRefused('203.0.113.10')).toBe(false);
  });

  it('are never asked for by the names that clouds give to their credentials', () => {
    const none = new PrivateNetworks([], nothingOwn);
    expect(none.isRefusedName('metadata.google.internal')).toBe(true);
    expect(none.isRefusedName('x.localhost')).toBe(true);
    expect(none.isRefusedName('example.com')).toBe(false);
    const some = new PrivateNetworks(['127.0.0.0/8'], nothingOwn);
    expect(some.isRefusedName('localhost')).toBe(false);
    expect(some.isRefusedName('metadata.google.internal')).toBe(true);
  });

  test.each(['10.1', 'host.example', '10.0.0.0/33', ''])('%j is no network', (text) => {
    expect(() => new PrivateNetworks([text], nothingOwn)).toThrow('GLOVEBOX_EGRESS_PRIVATE');
  });
});
