import { afterAll, beforeAll, expect, test } from 'vitest';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { listFolders } from '../../scripts/kubernetes/state.ts';

const LIMIT_MS = 60_000;
const report = (line: string) => void process.stderr.write(`${line}\n`);

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.start({ program: await ensureProgram(report), report });
});

afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  expect(listFolders()).not.toContain(lab.layout.folder);
});

test('a node that lost its power is noticed, and is ready again once it was started', async () => {
  await lab.killNode('node1');
  await lab.api.awaitNode('node1', false, LIMIT_MS);
  await lab.startNode('node1');
});

test('a node that was cut off is noticed, and is ready again once it was joined', async () => {
  await lab.cutNode('node2');
  await lab.api.awaitNode('node2', false, LIMIT_MS);
  await lab.joinNode('node2');
  await lab.api.awaitNode('node2', true, LIMIT_MS);
});

test('parts of a node can be killed and started again', async () => {
  await lab.killKubelet('node1');
  await lab.startKubelet('node1');
  await lab.killContainerd('node1');
  await lab.startContainerd('node1');
  await lab.api.awaitNode('node1', true, LIMIT_MS, Date.now());
});

test('the API server is away until it was started again', async () => {
  await lab.killApiServer();
  await expect(lab.api.call('GET', '/readyz')).rejects.toThrow();
  await lab.startApiServer();
  expect(await lab.kubectl('get', 'nodes', '--output=name')).toBe('node/node1\nnode/node2\n');
});

test('etcd without room refuses changes until it was drained', async () => {
  const create = async (name: string) => await lab.api.call('POST', '/api/v1/namespaces', { metadata: { name } });
  await lab.fillEtcd();
  expect(await create('refused')).toMatchObject({ status: 500, text: expect.stringContaining('space exceeded') });
  await lab.drainEtcd();
  expect(await create('taken')).toMatchObject({ status: 201 });
});
