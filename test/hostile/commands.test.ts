import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Execution, runCommand } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { expectNoneToSpare, expectUsable, LADDER_MS, openVictim, type Victim } from './setup.ts';

let server: Server;
beforeAll(async () => {
  const env = { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_DISK_MB: '16', GLOVEBOX_PIDS: '64', GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ env });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const run = (victim: Victim, command: string, timeout_s = 2) =>
  runCommand(server, command, { session_id: victim.id, timeout_s });

/** Whatever it did, nothing of it is left, and its session goes on. */
async function expectOver(victim: Victim, result: Execution): Promise<void> {
  expect(result.duration_ms).toBeLessThan(2000 + LADDER_MS);
  await expect.poll(() => victim.leftovers()).toEqual([]);
  if (result.session_reset) await victim.run('pass');
  await expectUsable(victim);
}

describe('a command', () => {
  test('that forks without end is ended at its time limit, and meets the limit of processes', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'f() { f | f & f | f; }; f; wait; sleep 60');
    expect(['timeout', 'error', 'crashed']).toContain(result.status);
    await expectOver(victim, result);
    await expectNoneToSpare(server);
  });

  test('that prints without end is ended at its time limit, with the head and the tail of it', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'yes');
    expect(result).toMatchObject({ status: 'timeout', exit_code: null, limit: { name: 'timeout_s', value: 2 } });
    expect(result.stdout).toMatch(/^y\ny\n/);
    expect(result.stdout.length).toBeLessThan(70_000);
    await expectOver(victim, result);
  });

  test('that ignores signals is killed, and what it had running is told', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, "trap '' INT TERM HUP QUIT TSTP; echo up; while :; do sleep 30; done", 1);
    expect(result).toMatchObject({ status: 'timeout', stdout: 'up\n', termination: { by: 'kill' } });
    expect(result.termination?.processes?.map(({ command }) => command)).toContain('sleep 30');
    await expectOver(victim, result);
  });

  test('that leaves its group and its session is ended whole', async () => {
    const victim = await openVictim(server);
    const result = await run(
      victim,
      'setsid sh -c "trap : INT; sleep 60" & (set -m; sleep 61 &) ; setsid -f sleep 62; echo up; sleep 63',
      1,
    );
    expect(result).toMatchObject({ status: 'timeout', stdout: 'up\n' });
    await expectOver(victim, result);
  });

  test('that closes its streams still ends as it does', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'exec 0<&- 1>&- 2>&-; sleep 0.2; exit 4');
    expect(result).toMatchObject({ status: 'error', exit_code: 4, stdout: '', stderr: '' });
    await expectOver(victim, result);
  });

  test('that stops itself is ended at its time limit', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'kill -STOP $$', 1);
    expect(result).toMatchObject({ status: 'timeout', termination: { by: 'kill' } });
    await expectOver(victim, result);
  });

  test('that kills everything it can reach loses its session only what ran there', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'echo kept > kept; kill -KILL -1');
    expect(result).toMatchObject({
      status: 'crashed',
      session_reset: { lost: expect.arrayContaining(['background']) },
    });
    expect((await run(victim, 'cat kept')).stdout).toBe('kept\n');
    await expectOver(victim, result);
  });

  test('that fills the memory is out of memory, also where a shell started what did', async () => {
    const victim = await openVictim(server);
    const fill = `python3 -c 'x = bytearray(900 << 20); x[::4096] = b"1" * len(x[::4096])'`;
    const alone = await run(victim, fill, 30);
    expect(alone).toMatchObject({ status: 'out_of_memory', limit: { name: 'memory_mb', value: 256 } });
    const last = await run(victim, `true; ${fill}; exit $?`, 30);
    expect(last).toMatchObject({ status: 'out_of_memory', exit_code: 137 });
    const goneOn = await run(victim, `${fill}; echo on`, 30);
    expect(goneOn).toMatchObject({ status: 'ok', stdout: 'on\n', limit: { ended: 'a child process' } });
    await expectOver(victim, alone);
  });

  test('that fills the disk meets its limit', async () => {
    const victim = await openVictim(server);
    const result = await run(victim, 'dd if=/dev/zero of=full bs=1M count=100; s=$?; rm full; exit $s', 20);
    expect(result).toMatchObject({ status: 'error', exit_code: 1, limit: { name: 'disk_mb' } });
    await expectOver(victim, result);
  });

  test('sees no more of the sandbox than code does', async () => {
    const victim = await openVictim(server);
    const { stdout } = await run(
      victim,
      'id -u; grep -E "^(CapEff|NoNewPrivs):" /proc/self/status | tr -d "\\t"; touch /x 2>/dev/null || echo sealed; ls /proc/self/fd | wc -l; env | grep -c -i -E "token|secret|key" || true',
    );
    expect(stdout.split('\n')).toEqual([
      ...[String(victim.uid), 'CapEff:0000000000000000', 'NoNewPrivs:1', 'sealed', '4', '0', ''],
    ]);
  });
});
