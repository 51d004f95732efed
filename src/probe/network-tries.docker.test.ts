import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { engine } from '../../test/support/engine-access.ts';
import type { TriedAddress } from '../sandbox/assurances.ts';
import { judgeNetwork } from './judge-network.ts';
import { PROBE } from './program.ts';
import { parseProbeReport } from './report.ts';

const OTHERS: readonly TriedAddress[] = [
  { protocol: 'tcp', host: '192.0.2.1', port: 443 },
  { protocol: 'tcp', host: '2001:db8::1', port: 443 },
  { protocol: 'udp', host: '192.0.2.1', port: 53 },
  { protocol: 'ping', host: '192.0.2.1', port: 0 },
];

/** What a container with a network of that mode reaches. */
async function reached(mode: string, addresses: readonly TriedAddress[]): Promise<string | undefined> {
  const { docker, image } = await engine();
  const asked = {
    ...{ filter: false, memory: 0, processes: 0, disks: [], fill: [], masked: [], rlimits: [], same_user: false },
    addresses: addresses.map(({ protocol, host, port }) => [protocol, host, port]),
  };
  const container = await docker.createContainer({
    Image: image,
    Entrypoint: ['sh', '-c', 'printf %s "$ASKED" | python3 -c "$PROBE"'],
    Env: [`ASKED=${JSON.stringify(asked)}`, `PROBE=${PROBE}`],
    User: '10007:10007',
    Tty: true,
    HostConfig: { NetworkMode: mode },
  });
  try {
    await container.start();
    const report = parseProbeReport(await text(await container.logs({ follow: true, stdout: true, stderr: true })));
    return judgeNetwork(report, { addresses });
  } finally {
    await container.remove({ force: true });
  }
}

test('a sandbox without a network reaches nothing', async () => {
  expect(await reached('none', OTHERS)).toBeUndefined();
});

test('a sandbox in the network of its machine is found to reach what listens there, and what refuses', async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, '0.0.0.0');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const listens = { protocol: 'tcp', host: '127.0.0.1', port } as const;
  const refuses = { protocol: 'udp', host: '127.0.0.1', port: 9 } as const;
  const found = await reached('host', [listens, refuses]);
  server.close();
  expect(found).toContain(`tcp 127.0.0.1 ${port} (answer)`);
  expect(found).toContain('udp 127.0.0.1 9 (ECONNREFUSED)');
});

test('a sandbox with a network of its own is found to reach the next hop, which nobody named', async () => {
  expect(await reached('bridge', OTHERS)).toMatch(/ \d+\.\d+\.\d+\.\d+ \d+ \((answer|ECONNREFUSED)\)/);
});
