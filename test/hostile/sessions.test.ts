import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { closeSession, post } from '../support/rest-client.ts';
import {
  containerOfUser,
  containersOf,
  environment,
  newStateDir,
  runCli,
  type Server,
  startServer,
} from '../support/server.ts';
import { expectUsable, OTHERS, openVictim, print, see, type Victim } from './setup.ts';

let server: Server;
let attacker: Victim;
let victim: Victim;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_POOL_SIZE: '1' } });
  victim = await openVictim(server);
  attacker = await openVictim(server);
  const plant = `
import os, socket, time
from multiprocessing import shared_memory
for folder in ("/workspace", "/tmp", "/dev/shm"): open(folder + "/secret", "w").write("secret")
abstract = socket.socket(socket.AF_UNIX); abstract.bind("\\0glovebox-hostile"); abstract.listen()
tcp = socket.create_server(("127.0.0.1", 4242)); udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 4243))
block = shared_memory.SharedMemory("hostile", create=True, size=100)
time.sleep(600)`;
  await victim.run(plant, { background: true, timeout_s: 600 });
  const isThere = async () =>
    expect((await victim.run('import os; print(os.path.exists("/dev/shm/hostile"))')).stdout).toBe('True\n');
  await vi.waitFor(isThere, { timeout: 15_000 });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('code that looks for other sessions', () => {
  test.each<[what: string, code: string, outcome: unknown]>([
    [
      'in its files: it sees none of theirs',
      print('[p for p in ("/workspace/secret", "/tmp/secret", "/dev/shm/secret") if os.path.exists(p)]'),
      [],
    ],
    [
      'among processes: it sees only its own and the main process',
      `${OTHERS}\n${print('[p for p in os.listdir("/proc") if p.isdigit() and os.stat("/proc/" + p).st_uid not in (os.getuid(), 65532, 0)]')}`,
      [],
    ],
    [
      'on loopback: their ports are not there',
      `import socket\n${print('[attempt(socket.create_connection, ("127.0.0.1", 4242), 2), attempt(socket.create_connection, ("::1", 4242), 2)]')}`,
      ['ECONNREFUSED', expect.stringMatching(/^E/)],
    ],
    [
      'among abstract sockets: theirs are not there',
      `import socket\n${print('attempt(socket.socket(socket.AF_UNIX).connect, "\\0glovebox-hostile")')}`,
      'ECONNREFUSED',
    ],
    [
      'in shared memory: theirs is not there',
      `from multiprocessing import shared_memory\n${print('attempt(shared_memory.SharedMemory, "hostile")')}`,
      'ENOENT',
    ],
    [
      'on the network: there is no interface but its own, and nothing answers',
      `import socket\n${print('[os.listdir("/sys/class/net") if os.path.exists("/sys/class/net") else [n for _, n in socket.if_nameindex()], sorted({attempt(socket.create_connection, (h, 80), 5) for h in ("172.17.0.1", "172.17.0.2", "10.0.0.1", "192.168.0.1", "169.254.169.254")})]')}`,
      [['lo'], [expect.stringMatching(/^E(NET|HOST)UNREACH$/)]],
    ],
    [
      'by names: nothing is resolved',
      `import socket\n${print('[n for n in ("example.com", "host.docker.internal", "gateway") if attempt(socket.getaddrinfo, n, 80) == "done"]')}`,
      [],
    ],
    [
      'on the port of the server: it is not there',
      `import socket\nports = [int(p) for p in "PORT 8080 2375 2376 80 443 22".split()]\n${print('sorted({attempt(socket.create_connection, ("127.0.0.1", p), 2) for p in ports})')}`,
      ['ECONNREFUSED'],
    ],
  ])('%s', async (_what, code, outcome) => {
    expect(await see(attacker, code.replace('PORT', String(server.port)))).toEqual(outcome);
    await expectUsable(attacker);
  });

  test('by their users: each session has one of its own', () => {
    expect(attacker.uid).not.toBe(victim.uid);
  });

  test('by limits that the kernel counts by user: those of the other are not used up', async () => {
    const flood = `import ctypes
libc = ctypes.CDLL(None, use_errno=True); held = []
while (fd := libc.inotify_init1(0)) >= 0: held.append(fd)
for n in range(200):
    try: held.append(os.pipe())
    except OSError: break
import time; time.sleep(3)
print(len(held))`;
    const flooding = see(attacker, flood, { timeout_s: 30 });
    expect(
      await see(
        victim,
        `import ctypes, fcntl\nr, w = os.pipe()\n${print('[ctypes.CDLL(None).inotify_init1(0) >= 0, fcntl.fcntl(w, 1032)]')}`,
      ),
      // In a user namespace, nobody gets any.
    ).toEqual([!inject('isRemapped'), 65_536]);
    expect(await flooding).toBeGreaterThan(10);
  });
});

describe('a caller', () => {
  const call = (args: Record<string, unknown>, headers: Record<string, string> = {}) =>
    post(server, '/execute', { name: 'execute_python', arguments: { code: 'print(1)', ...args } }, { headers });

  test.each([
    ['with the id of a container', async () => (await containerOfUser(server, victim.uid)).id, 404],
    ['with a path for an id', async () => '../../etc/passwd', 400],
    ['with an id of another form', async () => 'a b\u0000c', 400],
    ['with an id of a megabyte', async () => 'x'.repeat(2 ** 20), 400],
    ['with __proto__ for an id', async () => '__proto__', 200],
    ['with a handle that it made up', async () => `gbx_${'0'.repeat(24)}`, 404],
  ])('%s: refused, or a session of its own like any other', async (_what, idOf, status) => {
    const id = await idOf();
    const answer = await call({ session_id: id });
    if (status === 404) expect([404, 200]).toContain(answer.status);
    else expect(answer.status).toBe(status);
    if (answer.status === 200) {
      const seen = (await (
        await call({ session_id: id, code: 'import os; print(os.path.exists("/workspace/secret"))' })
      ).json()) as {
        result: { stdout: string };
      };
      expect(seen.result.stdout).toBe('False\n');
      await closeSession(server, id);
    }
  });

  test('of a session that was closed: its processes and files are gone, and its id is unknown', async () => {
    const closed = await openVictim(server);
    await closed.run(
      'open("left", "w").write("1")\nimport subprocess; subprocess.Popen(["sleep", "1000"], start_new_session=True)',
    );
    const { id } = await containerOfUser(server, closed.uid);
    expect((await closeSession(server, closed.id)).status).toBe(204);
    await expect.poll(async () => (await containersOf(server)).some((one) => one.Id === id)).toBe(false);
    expect((await call({ session_id: closed.id })).status).toBe(404);
  });
});

describe('an owner', () => {
  test('with the id, the handle or the name of a session of another: it is as unknown as any', async () => {
    const stateDir = newStateDir();
    const keyOf = async (name: string) => {
      const { stdout } = await runCli(['key', 'new', name], environment(stateDir));
      return { authorization: `Bearer ${stdout.trim()}` };
    };
    const [alice, mallory] = [await keyOf('alice'), await keyOf('mallory')];
    await using keyed = await startServer({ stateDir, env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_POOL_SIZE: '0' } });
    const made = await post(keyed, '/sessions', '', { headers: alice });
    const { session_id: id } = (await made.json()) as { session_id: string };
    const unknown = `${id.slice(0, -4)}0000`;
    const answers = async (handle: string) => {
      const asked = [
        ['GET', `/sessions/${handle}`],
        ['DELETE', `/sessions/${handle}`],
        ['GET', `/sessions/${handle}/files/x`],
        ['GET', `/sessions/${handle}/executions`],
        ['GET', `/sessions/${handle}/archive`],
        ['POST', `/sessions/${handle}/fork`],
      ] as const;
      const found: string[] = [];
      for (const [method, path] of asked) {
        const { status, text } = await sendRaw(keyed.port, path, { method, headers: { ...mallory } });
        found.push(`${status} ${text.replaceAll(handle, 'ID')}`);
      }
      return found;
    };
    expect(await answers(id)).toEqual(await answers(unknown));
    expect((await answers(id)).every((one) => one.startsWith('404'))).toBe(true);
    expect((await sendRaw(keyed.port, `/sessions/${id}`, { headers: { ...alice } })).status).toBe(200);
  });
});
