import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { engine } from '../../test/support/engine-access.ts';
import { FilteredNetwork, NEXT_HOP, SERVICE } from '../../test/support/filtered-network.ts';
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

/** Has the program try addresses only. */
function ask(addresses: readonly TriedAddress[]): string {
  return JSON.stringify({
    ...{ filter: false, memory: 0, processes: 0, disks: [], fill: [], masked: [], rlimits: [], same_user: false },
    addresses: addresses.map(({ protocol, host, port }) => [protocol, host, port]),
  });
}

/** What a container with a network of that mode reaches. */
async function reached(mode: string, addresses: readonly TriedAddress[]): Promise<string | undefined> {
  const { docker, image } = await engine();
  const container = await docker.createContainer({
    Image: image,
    Entrypoint: ['sh', '-c', 'printf %s "$ASKED" | python3 -c "$PROBE"'],
    Env: [`ASKED=${ask(addresses)}`, `PROBE=${PROBE}`],
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

describe('a network whose next hop', () => {
  const addresses: readonly TriedAddress[] = [
    { protocol: 'tcp', host: SERVICE, port: 443 },
    { protocol: 'udp', host: SERVICE, port: 53 },
  ];
  const look = (rules: readonly string[]) => {
    using network = new FilteredNetwork(rules);
    return judgeNetwork(parseProbeReport(network.runPython(PROBE, ask(addresses))), { addresses });
  };

  test('lets all through is found to reach the service, and the next hop itself', () => {
    const found = look([]);
    expect(found).toContain(`tcp ${SERVICE} 443 (ECONNREFUSED)`);
    expect(found).toContain(`tcp ${NEXT_HOP} 53 (ECONNREFUSED)`);
  });

  test('drops what comes, or says that it may not pass, leads nowhere', () => {
    expect(look(['-j DROP'])).toBeUndefined();
    expect(look(['-j REJECT --reject-with icmp-admin-prohibited'])).toBeUndefined();
  });

  test('lets a single protocol through is found by that', () => {
    expect(look(['-p udp -j ACCEPT', '-j DROP'])).toMatch(/^udp [\d. ]+ \(ECONNREFUSED\)/);
    expect(look(['-p tcp -j ACCEPT', '-j DROP'])).toMatch(/^tcp [\d. ]+ \(ECONNREFUSED\)/);
  });
});
