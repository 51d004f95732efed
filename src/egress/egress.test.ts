import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createLog } from '../log.ts';
import { Egress, type EgressOptions } from './egress.ts';

const options = (patterns: readonly string[]): EgressOptions => ({
  ...{ patterns, privateNetworks: [], hosts: { proxy: {} }, openProxy: undefined },
  bounds: { bytes: 1, connections: 1, connectionsPerOwner: 1, idleMs: 1 },
  ...{ registry: new Registry(), log: createLog('error', () => {}) },
});

test('hosts that code may reach without a proxy that would take it there are an error from the start', () => {
  expect(() => new Egress(options(['api.example.com']))).toThrow('no proxy is loaded');
  using nothing = new Egress(options([]));
  expect(nothing.access.isOn).toBe(false);
});
