import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import type { NodeName } from '../../scripts/kubernetes/layout.ts';
import { knownProcess } from '../../scripts/kubernetes/processes.ts';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { KubernetesEngine } from '../../src/engines/kubernetes/engine.ts';
import type { Heartbeat, PieceStream } from '../../src/lib/reused-memory.ts';
import { createLog } from '../../src/log.ts';
import type { SandboxRef } from '../../src/sandbox/engine.ts';
import { startSandbox } from '../../src/sandbox/start-sandbox.ts';
import { untilSaved } from '../support/archives.ts';
import { run as runIn } from '../support/engine-lab.ts';
import { freePort } from '../support/free-port.ts';
import { type ErrorAnswer, type Execution, post } from '../support/rest-client.ts';
import { containersOf, newStateDir, type Server, startServer } from '../support/server.ts';
import { openTestNamespace } from '../support/test-namespace.ts';

const LIMIT_MS = 60_000;
/** Seconds that a node may be away. It is noticed after 12 s, and is ready some seconds after it answers again. */
const NODE_LOST_S = 30;
/** Milliseconds for which a node is away without being noticed. */
const AWAY_MS = 8000;
const PATIENT = { timeout: 90_000, interval: 1000 };

/** Ticks once a second until it is told that this is enough, and says how often it has. */
const TICK = `
import os, time
ticks = 0
while not os.path.exists('enough.txt'):
    print('tick', flush=True)
    ticks += 1
    time.sleep(1)
print(ticks)`;

const report = (line: string) => void process.stderr.write(`${line}\n`);

let lab: Lab;
let server: Server;
let session: string;
let node: NodeName;
let count = 0;

beforeAll(async () => {
  const image = process.env['GLOVEBOX_IMAGE'] ?? '';
  const owner = knownProcess(inject('runPid') ?? 0);
  lab = await Lab.start({
    program: await ensureProgram(report),
    ...(owner ? { owner } : {}),
    images: [image],
    report,
  });
  server = await startServer({ env: settings(lab.kubeconfig) });
});

/** Settings of a server in a cluster. */
function settings(kubeconfig: string): Record<string, string> {
  return {
    GLOVEBOX_ENGINE: 'kubernetes',
    KUBECONFIG: kubeconfig,
    GLOVEBOX_IMAGE: process.env['GLOVEBOX_IMAGE'] ?? '',
    GLOVEBOX_POOL_SIZE: '0',
    GLOVEBOX_KUBERNETES_NODE_LOST_S: String(NODE_LOST_S),
    GLOVEBOX_CHECKPOINT_AFTER_S: '0.1',
    GLOVEBOX_MEMORY_MB: '256',
    GLOVEBOX_KUBERNETES_MEMORY_REQUEST_MB: '16',
  };
}

afterAll(async () => {
  try {
    await server?.stop();
    expect(await lab?.kubectl('get', 'pods', '--output=name')).toBe('');
  } finally {
    await lab?.[Symbol.asyncDispose]();
  }
});

/** What puts right what a test has broken, and has not put right itself. */
const repairs = new Set<() => Promise<void>>();

/** Breaks something, until the returned function or the end of the test puts it right. */
async function breaking(fault: () => Promise<void>, repair: () => Promise<void>): Promise<() => Promise<void>> {
  const putRight = async () => {
    if (repairs.delete(putRight)) await repair();
  };
  repairs.add(putRight);
  await fault();
  return putRight;
}

afterEach(async () => {
  for (const putRight of repairs) await putRight();
});

/** A new session, with a file and a variable. */
beforeEach(async () => {
  count += 1;
  session = `faults-${count}`;
  await post(server, '/sessions', { session_id: session });
  await run("x = 7; open('kept.txt', 'w').write('kept'); print('ready')", { context: 'c' });
  await untilSaved(server);
  node = (await podOf()).at;
});

/** What a call is answered with. */
async function call(
  code: string,
  more: object = {},
  asked = server,
): Promise<{ result?: Execution; error?: ErrorAnswer['error'] }> {
  const body = { name: 'execute_python', arguments: { session_id: session, code, ...more } };
  return (await (await post(asked, '/execute', body)).json()) as { result?: Execution; error?: ErrorAnswer['error'] };
}

/** Runs code that must run. */
async function run(code: string, more: object = {}): Promise<Execution> {
  const { result, error } = await call(code, more);
  if (!result) throw new Error(`refused: ${JSON.stringify(error)}`);
  return result;
}

/** The newest pod, and the node that it is on. */
async function podOf(): Promise<{ name: string; at: NodeName }> {
  const columns = 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}';
  const lines = await lab.kubectl('get', 'pods', '--sort-by=.metadata.creationTimestamp', `--output=${columns}`);
  const [name = '', at = ''] = lines.trim().split('\n').at(-1)?.split(' ') ?? [];
  return { name, at: at === 'node1' ? 'node1' : 'node2' };
}

/** Waits until a call runs. */
async function again(code = "print(open('kept.txt').read(), end='')", more: object = {}): Promise<Execution> {
  let answer = await call(code, more);
  await expect
    .poll(async () => {
      answer = answer.result ? answer : await call(code, more);
      return answer.error?.message ?? 'runs';
    }, PATIENT)
    .toBe('runs');
  return answer.result ?? (await run(code, more));
}

/** The session has everything that it had. */
async function expectAll(): Promise<void> {
  const { stdout, session_reset: reset } = await again('print(x, open("kept.txt").read())', { context: 'c' });
  expect([stdout, reset]).toEqual(['7 kept\n', undefined]);
}

const refused = (message: RegExp) => ({
  error: { code: 'engine_unavailable', message: expect.stringMatching(message), hint: expect.stringMatching(/./) },
});

describe('a node that is cut off', () => {
  const cutNode = () =>
    breaking(
      () => lab.cutNode(node),
      () => lab.joinNode(node),
    );

  test('for a while costs nothing: what runs goes on, and further calls are told that it is away', {
    timeout: 240_000,
  }, async () => {
    const long = run(TICK, { timeout_s: 300 });
    const { name } = await podOf();
    const join = await cutNode();
    await lab.kubectl('wait', '--for=condition=Ready=False', `pod/${name}`, `--timeout=${LIMIT_MS / 1000}s`);
    expect(await call('1')).toMatchObject(refused(/node "node[12]" is not ready/));
    await join();
    await expectAll();
    await run("open('enough.txt', 'w').close()");
    const { stdout = '' } = await long;
    const ticks = Number(stdout.trimEnd().split('\n').at(-1));
    // It is noticed after 12 s that a node is away.
    expect(ticks).toBeGreaterThan(12);
    expect(stdout).toBe(`${'tick\n'.repeat(ticks)}${ticks}\n`);
  });

  test('while the time of a call was over cost all other calls once it was back', { timeout: 240_000 }, async () => {
    const long = run(TICK, { timeout_s: 300 });
    const late = call('import time; time.sleep(600)', { timeout_s: 3 });
    const running = async () => {
      const answer = await fetch(`${server.url}/sessions/${session}`);
      return ((await answer.json()) as { running: number }).running;
    };
    await expect.poll(running, PATIENT).toBe(2);
    const join = await cutNode();
    // The call is over after three, and the kill from outside would wait for the node from then on.
    await sleep(AWAY_MS);
    await join();
    const { result } = await late;
    expect([result?.status, result?.session_reset]).toEqual(['timeout', undefined]);
    await expectAll();
    await run("open('enough.txt', 'w').close()");
    const { status, stdout, session_reset: reset } = await long;
    expect([status, stdout?.startsWith('tick\n'), reset]).toEqual(['ok', true, undefined]);
  });

  test('for too long costs what no checkpoint had, and leaves no pod', { timeout: 240_000 }, async () => {
    const { name } = await podOf();
    const join = await cutNode();
    const { stdout, session_reset: reset } = await again();
    expect(stdout).toBe('kept');
    expect(reset).toMatchObject({ reason: 'sandbox_lost', lost: expect.arrayContaining(['contexts']) });
    expect((await podOf()).at).not.toBe(node);
    await join();
    await expect.poll(() => lab.kubectl('get', 'pods', '--output=name'), PATIENT).not.toContain(name);
  });
});

test('a node that loses its power costs what no checkpoint had', { timeout: 240_000 }, async () => {
  const running = call('import time; time.sleep(600)', { timeout_s: 600 });
  const restart = await breaking(
    () => lab.killNode(node),
    () => lab.startNode(node),
  );
  expect(await running).toMatchObject(refused(/node "node[12]" (does not answer|is not ready)/));
  const { stdout, session_reset: reset } = await again();
  expect([stdout, reset?.reason]).toEqual(['kept', 'sandbox_lost']);
  await restart();
});

test.each([
  ['kubelet', () => lab.killKubelet(node), () => lab.startKubelet(node)],
  ['container runtime', () => lab.killContainerd(node), () => lab.startContainerd(node)],
])('a %s that is killed costs the calls that run, and nothing else', async (_part, kill, start) => {
  const running = call('import time; time.sleep(600)', { timeout_s: 600 });
  const restart = await breaking(kill, start);
  expect(await running).toMatchObject(refused(/node "node[12]" (does not answer|is not ready)/));
  await restart();
  await expectAll();
});

test('an API server that is killed costs the calls that run, and nothing else', async () => {
  const running = call('import time; time.sleep(600)', { timeout_s: 600 });
  const restart = await breaking(
    () => lab.killApiServer(),
    () => lab.startApiServer(),
  );
  expect(await running).toMatchObject(refused(/API server/));
  expect(await call('1')).toMatchObject(refused(/API server of the cluster does not answer/));
  await restart();
  await expectAll();
});

test('an etcd without room keeps new sessions out, and the others go on', async () => {
  const drain = await breaking(
    () => lab.fillEtcd(),
    () => lab.drainEtcd(),
  );
  await expectAll();
  const kept = session;
  session = 'faults-refused';
  const answer = await call('1');
  expect(answer).toMatchObject({ error: { code: 'engine_unavailable', hint: expect.stringMatching(/etcd/) } });
  await drain();
  expect((await again('print(1)')).stdout).toBe('1\n');
  session = kept;
  await expectAll();
});

test('a pod that is deleted by hand costs what no checkpoint had', async () => {
  const { name } = await podOf();
  await lab.kubectl('delete', 'pod', name);
  const { stdout, session_reset: reset } = await again();
  expect([stdout, reset?.reason]).toEqual(['kept', 'sandbox_lost']);
});

test('code that takes too much memory is told so, and the session goes on', async () => {
  const { status } = await run('b = bytearray(1 << 20) * 1024; print(len(b))');
  expect(['out_of_memory', 'error']).toContain(status);
  await again();
});

// Its node takes no pods for minutes after it, which the tests that follow would have to wait for.
test.runIf(process.env['AT_NIGHT'])(
  'a pod that its node evicts, for want of memory, costs what no checkpoint had',
  {
    timeout: 240_000,
  },
  async () => {
    const { name } = await podOf();
    // The pods of the node together may have 1 GiB, and one of them goes once they use 180 MiB: the node looks each 10 s.
    const rest = Math.floor(totalmem() / 2 ** 20) - 1024;
    const change = { systemReserved: { memory: `${rest}Mi` }, evictionHard: { 'memory.available': '844Mi' } };
    await lab.killKubelet(node);
    await lab.startKubelet(node, change);
    const taken = await again("import time; b = b'x' * (190 << 20); time.sleep(100)", { timeout_s: 110 });
    expect(taken).toMatchObject({ status: 'crashed', session_reset: { reason: 'sandbox_lost' } });
    const ofPod = `--field-selector=reason=Evicted,involvedObject.name=${name}`;
    const said = await lab.kubectl('get', 'events', ofPod, '--output=jsonpath={.items[*].message}');
    expect(said).toContain('The node was low on resource: memory');
    expect((await again()).stdout).toBe('kept');
    await lab.killKubelet(node);
    await lab.startKubelet(node);
  },
);

describe('another cluster', () => {
  /** That of the whole run. */
  const other = process.env['KUBECONFIG'] ?? '';

  test('under the name of the first goes on from checkpoints, and what was left in each goes on return', async () => {
    const place = { stateDir: newStateDir(), port: await freePort() };
    const start = async (kubeconfig: string) => await startServer({ ...place, env: settings(kubeconfig) });
    const inFirst = await start(lab.kubeconfig);
    session = 'moves';
    const read = "print(x if 'x' in globals() else 'none', open('kept.txt').read())";
    await call("x = 1; open('kept.txt', 'w').write('first')", { context: 'c' }, inFirst);
    await untilSaved(inFirst);
    const { name } = await podOf();
    await inFirst.kill();

    const inOther = await start(other);
    const moved = (await call(read, { context: 'c' }, inOther)).result;
    expect(moved).toMatchObject({ stdout: 'none first\n', session_reset: { reason: 'sandbox_lost' } });
    await call("open('kept.txt', 'w').write('other')", {}, inOther);
    await untilSaved(inOther);
    await inOther.kill();
    expect(await lab.kubectl('get', 'pods', '--output=name')).toContain(name);

    const back = await start(lab.kubeconfig);
    expect((await call(read, { context: 'c' }, back)).result).toMatchObject({ stdout: 'none other\n' });
    await expect.poll(() => lab.kubectl('get', 'pods', '--output=name'), PATIENT).not.toContain(name);
    await back.stop();

    await using last = await start(other);
    await expect.poll(() => containersOf(last), PATIENT).toEqual([]);
  });
});

test('a stream that is silent for long, and goes on, loses nothing of what came meanwhile', {
  timeout: 240_000,
}, async () => {
  await using namespace = await openTestNamespace('silence', lab.kubeconfig);
  const longer = { ...namespace.settings, kubernetesNodeLostS: 600 };
  using engine = new OftenLooking(new KubernetesClient(namespace.access), longer, createLog('error'));
  const { profile } = namespace;
  const configuration = { preload: 'none' } as const;
  const sandbox = await startSandbox({
    engine,
    profile,
    configuration,
    label: () => 'silence',
    log: createLog('error'),
  });
  const begun = Promise.withResolvers<void>();
  const code = 'import time\nfor n in range(60): print(n, flush=True); time.sleep(1)';
  const running = runIn(sandbox, code, { timeoutMs: 200_000, onOutput: async () => begun.resolve() });
  await begun.promise;
  const [pod = ''] = await namespace.podNames();
  const at = await lab.kubectl('get', 'pod', pod, '--namespace', namespace.name, '--output=jsonpath={.spec.nodeName}');
  await lab.cutNode(at === 'node1' ? 'node1' : 'node2');
  await expect.poll(() => engine.looks, PATIENT).toBeGreaterThanOrEqual(3);
  await lab.joinNode(at === 'node1' ? 'node1' : 'node2');
  expect((await running).stdout).toBe(Array.from({ length: 60 }, (_, n) => `${n}\n`).join(''));
  await sandbox.remove();
});

/** Looks at silent streams each 7 s instead of 15 s: the cluster has noticed by the first look that a node is cut off. */
class OftenLooking extends KubernetesEngine {
  looks = 0;

  override async connect(ref: SandboxRef): Promise<PieceStream> {
    const stream = await super.connect(ref);
    const { heartbeat } = stream;
    const often: Heartbeat = {
      everyMs: 7000,
      onSilent: () => {
        this.looks += 1;
        heartbeat?.onSilent();
      },
      get outage() {
        return heartbeat?.outage;
      },
    };
    return Object.assign(stream, { heartbeat: often });
  }
}
