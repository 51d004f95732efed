import { describe, expect, test } from 'vitest';
import { SEALED } from '../../test/support/probe-report.ts';
import { judgeNetwork } from './judge-network.ts';

const API = { protocol: 'tcp', host: '10.96.0.1', port: 443 } as const;
const NODE = { protocol: 'udp', host: '10.0.0.4', port: 9 } as const;
const addresses = [API, NODE];
const CONNECTED = { ...SEALED, interfaces: ['lo', 'eth0'], routes: ['eth0'] };
const SILENT = { 'tcp 10.96.0.1 443': 'silence', 'udp 10.0.0.4 9': 'EHOSTUNREACH' };

test('an interface counts as a way out where there may be none, even if nothing was reached through it', () => {
  expect(judgeNetwork({ ...CONNECTED, tries: SILENT }, {})).toBe('eth0 are interfaces that are up');
});

describe('a network that is to lead nowhere', () => {
  test('holds where each address was tried, and none of them answered or refused', () => {
    expect(judgeNetwork({ ...CONNECTED, tries: SILENT }, { addresses })).toBeUndefined();
    const without = { 'tcp 10.96.0.1 443': 'ENETUNREACH', 'udp 10.0.0.4 9': 'ENETUNREACH' };
    expect(judgeNetwork({ ...SEALED, tries: without }, { addresses })).toBeUndefined();
  });

  test.each(['answer', 'ECONNREFUSED', 'ECONNRESET', 'EIO'])('does not with the end %s', (end) => {
    const tries = { ...SILENT, 'udp 10.0.0.4 9': end };
    expect(judgeNetwork({ ...CONNECTED, tries }, { addresses })).toBe(`udp 10.0.0.4 9 (${end}) can be reached`);
  });

  test('does not where the sandbox found an address by itself, and reached it', () => {
    const tries = { ...SILENT, 'ping 10.244.1.1 0': 'answer' };
    expect(judgeNetwork({ ...CONNECTED, tries }, { addresses })).toBe('ping 10.244.1.1 0 (answer) can be reached');
  });

  test('does not where an address was not tried', () => {
    expect(judgeNetwork({ ...CONNECTED, tries: {} }, { addresses: [API] })).toBe('tcp 10.96.0.1 443 were not tried');
  });

  test('does not where its interfaces cannot be seen', () => {
    expect(judgeNetwork({ ...CONNECTED, interfaces: [], tries: SILENT }, { addresses })).toMatch(/cannot be seen/);
  });
});
