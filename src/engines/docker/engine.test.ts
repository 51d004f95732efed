import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from '../../log.ts';
import { DockerDriver, findDiscarded } from './drivers/docker.ts';
import { DockerEngine } from './engine.ts';
import { killUser, listsUser } from './user-processes.ts';

const SPEC = {
  ...{ key: 'a'.repeat(20), instance: 'test', image: 'image' },
  ...{ memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 60 },
};
const GONE = Object.assign(new Error('no such container'), { statusCode: 404 });

const never = () => new Promise<never>(() => {});

/** An engine that answers as it is told, and what it was asked to remove. */
function openEngine(answers: {
  readonly create?: Promise<unknown>;
  readonly remove: () => Promise<unknown>;
  readonly inspect?: () => Promise<unknown>;
  readonly exec?: Promise<unknown>;
  /** What it says of an exec that it made; its id if left out. */
  readonly made?: object;
  readonly list?: unknown;
}) {
  const removed: string[] = [];
  /** The labels of each list of containers that was asked for. */
  const listed: string[][] = [];
  const fake = {
    listContainers: async ({ filters }: { filters: { label: string[] } }) => {
      listed.push(filters.label);
      return 'list' in answers ? answers.list : [];
    },
    modem: {
      dial: (_: unknown, done: (error: unknown, answer?: unknown) => void) => {
        void (answers.create ?? never()).then((answer) => done(undefined, answer));
      },
    },
    getContainer: (id: string) => ({
      id,
      start: async () => {},
      inspect: answers.inspect ?? never,
      remove: () => {
        removed.push(id);
        return answers.remove();
      },
      exec: async () => ({ ...(answers.made ?? { id: 'exec' }), start: () => answers.exec ?? never() }),
    }),
  };
  const docker = fake as unknown as Docker;
  return { engine: new DockerEngine(docker, new DockerDriver(docker), createLog('error')), docker, removed, listed };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('an engine that hangs, or is down for a while', () => {
  test('leaves no container that it made after nobody waited for it any more', async () => {
    const create = Promise.withResolvers<{ Id: string }>();
    const { engine, removed } = openEngine({ create: create.promise, remove: () => Promise.reject(GONE) });
    const started = engine.start(SPEC).catch((error: { code: string }) => error.code);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await started).toBe('engine_unavailable');
    expect(removed).toEqual([`glovebox-${SPEC.key}`]);
    create.resolve({ Id: 'made-late' });
    await vi.advanceTimersByTimeAsync(0);
    expect(removed.at(-1)).toBe('made-late');
  });

  test('leaves no container that it could not remove when it was told to', async () => {
    let isUp = false;
    const { engine, removed } = openEngine({
      remove: () => (isUp ? Promise.resolve() : Promise.reject(new Error('connect ECONNREFUSED'))),
    });
    await expect(engine.remove('one/10000')).rejects.toMatchObject({ code: 'engine_unavailable' });
    await vi.advanceTimersByTimeAsync(5000);
    isUp = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(removed).toEqual(['one', 'one', 'one']);
  });

  test('is not asked to remove hundreds of containers at once, and gets through all of them', async () => {
    const answers: (() => void)[] = [];
    const { engine, removed } = openEngine({ remove: () => new Promise<void>((resolve) => answers.push(resolve)) });
    const removals = Array.from({ length: 300 }, (_, at) => engine.remove(`${at}/10000`));
    await vi.advanceTimersByTimeAsync(0);
    let most = 0;
    while (answers.length > 0) {
      most = Math.max(most, answers.length);
      for (const answer of answers.splice(0)) answer();
      await vi.advanceTimersByTimeAsync(0);
    }
    await Promise.all(removals);
    expect([most, removed.length]).toEqual([4, 300]);
  });

  test('leaves no container that another call was removing, and could not', async () => {
    const answers = [{ statusCode: 409, message: 'removal of container one is already in progress' }, undefined];
    const { engine, removed } = openEngine({
      remove: async () => {
        const { message, ...error } = answers.shift() ?? {};
        if (message) throw Object.assign(new Error(message), error);
      },
    });
    await engine.remove('one/10000');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(removed).toEqual(['one', 'one']);
  });

  test.each([
    ['is removed if it is gone', () => Promise.reject(GONE), undefined],
    ['is told of if it is there', () => Promise.resolve({}), 'engine_unavailable'],
    ['is told of if nobody answers any more', () => Promise.reject(new Error('ECONNREFUSED')), 'engine_unavailable'],
  ])('a container whose removal was refused while another call removed it %s', async (_what, inspect, code) => {
    const refusal = Object.assign(new Error('no such container'), { statusCode: 500 });
    const { engine } = openEngine({ remove: () => Promise.reject(refusal), inspect });
    const answer = await engine.remove('one/10000').catch((error: { code: string }) => error.code);
    expect(answer).toBe(code);
  });

  test('leaves no stream open that came after nobody waited for it any more', async () => {
    const exec = Promise.withResolvers<PassThrough>();
    const { engine } = openEngine({ exec: exec.promise, remove: () => Promise.resolve() });
    const connected = engine.connect('one/10000').catch((error: { code: string }) => error.code);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await connected).toBe('engine_unavailable');
    const stream = new PassThrough();
    exec.resolve(stream);
    await vi.advanceTimersByTimeAsync(0);
    expect(stream.destroyed).toBe(true);
  });
});

describe('the kill of all that a user runs', () => {
  test.each([
    ['has been done by one that says so', 'done\n', true],
    ['has been killed itself when it ends without a word', '', false],
  ])('%s', async (_what, word, isDone) => {
    const stream = new PassThrough();
    const { docker } = openEngine({ exec: Promise.resolve(stream), remove: () => Promise.resolve() });
    const killed = killUser(docker.getContainer('one'), 10_000);
    stream.end(word);
    expect(await killed).toBe(isDone);
  });
});

test('an engine that dropped a limit since the server started gets no sandbox, and keeps no container', async () => {
  const Warnings = [
    'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
  ];
  const { engine, removed } = openEngine({
    create: Promise.resolve({ Id: 'unlimited', Warnings }),
    remove: () => Promise.resolve(),
  });
  await expect(engine.start(SPEC)).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: expect.stringContaining('Your kernel does not support memory limit'),
  });
  expect(removed).toContain('unlimited');
});

test.each([
  ['Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.', true],
  [
    'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
    false,
  ],
  ['Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.', false],
])('a warning of an engine: %s', (warning, isFatal) => {
  expect(findDiscarded([warning])).toBe(isFatal ? warning : undefined);
});

test('a limit that an engine drops is no reason to refuse where it may be missing', () => {
  const warning = 'Your kernel does not support PIDs limit capabilities. PIDs limit discarded.';
  expect(findDiscarded([warning], ['pids'])).toBeUndefined();
  expect(findDiscarded([warning], ['memory'])).toBe(warning);
});

test('a start has the engine list all sandboxes', async () => {
  const create = Promise.resolve({ Id: 'made', Warnings: [] });
  const { engine, listed } = openEngine({ create, remove: () => Promise.resolve() });
  const { ref, confirmed } = await engine.start(SPEC);
  expect(await confirmed).toBe(true);
  const [id, uid, key] = ref.split('/');
  const ofUser = ['glovebox.key', `glovebox.uid=${uid}`];
  expect([id, key, listed]).toEqual(['made', SPEC.key, [ofUser, ofUser]]);
});

describe('an engine that answers 200 with an empty body', () => {
  /** As the client gives it. */
  const nothing = Buffer.alloc(0);
  const refused = {
    code: 'engine_unavailable',
    message: expect.stringMatching(/^The container engine does not tell which/),
  };

  test('was taken for one that has no containers, so that all sessions had lost theirs', async () => {
    const { engine } = openEngine({ list: nothing, remove: () => Promise.resolve() });
    await expect(engine.list()).rejects.toMatchObject(refused);
    await expect(engine.start(SPEC)).rejects.toMatchObject(refused);
  });

  test('to an exec was taken for one whose sandbox is gone', async () => {
    const { engine } = openEngine({ made: {}, remove: () => Promise.resolve() });
    await expect(engine.connect('id/10000/key')).rejects.toMatchObject(refused);
    await expect(engine.endProcesses('id/10000/key')).rejects.toMatchObject(refused);
  });
});

describe('a look from outside', () => {
  const main = ['1', '65532', 'S'];
  const remapped = ['1', '265532', 'S'];

  test.each([
    ['sees a process of the user', [main, ['7', '10000', 'R']], true],
    ['sees none where there is only the main process, or that of another', [main, ['7', '10001', 'R']], false],
    ['takes one that has ended for none', [main, ['7', '10000', 'Z+']], false],
    ['sees one whose first thread has ended while others run', [main, ['7', '10000', 'Zsl+']], true],
    ['sees through a map of users, as userns-remap has it', [remapped, ['7', '210000', 'R']], true],
    ['sees none through a map of users', [remapped, ['7', '210001', 'R']], false],
    ['that shows nothing does not show that there is none', [], true],
    ['that lacks the main process does not show that there is none', [['7', '10001', 'R']], true],
  ])('%s', (_what, processes, found) => {
    expect(listsUser(processes, 10_000)).toBe(found);
  });
});
