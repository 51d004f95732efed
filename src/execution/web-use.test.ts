import { describe, expect, test } from 'vitest';
import { RESULT } from '../../test/support/result.ts';
import type { WebRefusal } from '../egress/web-access.ts';
import { deniedLimit } from './limits-met.ts';
import { fromWire, toWire } from './web-summary.ts';
import { withWeb } from './web-use.ts';

const refusal = (host: string, more: Partial<WebRefusal> = {}): WebRefusal => ({
  ...{ host, port: 443, rule: 'host', message: `The host ${host} is not in GLOVEBOX_EGRESS.` },
  ...more,
});
const FAILED = { ...RESULT, status: 'error', exitCode: 1 } as const;
const withError = (value: string) => ({
  ...FAILED,
  error: { name: 'ProxyError', value, traceback: `Traceback\nProxyError: ${value}\n` },
});
const used = (...refusals: WebRefusal[]) => ({ hosts: [], refusals });

describe('the limit of a result', () => {
  test('names the host that was refused, where the exception of the code does', () => {
    const refusals = [refusal('a.example'), refusal('b.example'), refusal('c.example')];
    const { limit } = withWeb(withError('Tunnel connection failed: 403 b.example'), used(...refusals));
    expect(limit).toEqual({ name: 'web', value: 'b.example:443', setting: refusals[1]?.message });
  });

  test('is none where the code failed for another reason, or did not fail', () => {
    expect(withWeb(withError('division by zero'), used(refusal('a.example'))).limit).toBeUndefined();
    expect(withWeb(RESULT, used(refusal('a.example'))).limit).toBeUndefined();
  });

  test('is the last refusal where a program has no exception to tell', () => {
    expect(withWeb(FAILED, used(refusal('a.example'), refusal('b.example'))).limit?.value).toBe('b.example:443');
  });

  test('is the bound that was met, with its setting', () => {
    const limit = { name: 'egress_mb', value: 1024, setting: 'move less' };
    const met = refusal('a.example', { rule: 'limit', limit });
    expect(withWeb(withError('IncompleteRead(0 bytes read)'), used(met)).limit).toEqual(limit);
  });

  test('says to code that may reach hosts how, when it resolves their names itself', () => {
    const limits = { execTimeoutS: 1, maxTimeoutS: 1, memoryMb: 1, diskMb: 1, tmpMb: 1, shmMb: 1, largestFileMb: 1 };
    const limit = deniedLimit('network', { ...limits, pids: 1 });
    const told = withWeb({ ...withError('[Errno -3] Temporary failure in name resolution'), limit }, used()).limit;
    expect(told?.setting).toContain('HTTPS_PROXY');
  });
});

test('the use of hosts is read as it was written', () => {
  const host = { host: 'a.example', port: 443, requests: 2, bytesIn: 10, bytesOut: 3 };
  const web = { hosts: [host], refused: [refusal('b.example')] };
  expect(toWire(web).hosts).toEqual([{ host: 'a.example', port: 443, requests: 2, bytes_in: 10, bytes_out: 3 }]);
  expect(fromWire(JSON.parse(JSON.stringify(toWire(web))))).toEqual(web);
});
