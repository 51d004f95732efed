import Dockerode from 'dockerode';
import { expect, test, vi } from 'vitest';
import { callCreate } from './create-call.ts';

function answering(answer: unknown): Dockerode {
  const dial = (_options: unknown, callback: (error: null, answer: unknown) => void) => callback(null, answer);
  return Object.assign(new Dockerode(), { modem: { dial } });
}

test('the answer of an engine names the container, and what it warns of', async () => {
  const answer = { Id: 'abc', Warnings: ['careful'] };
  expect(await callCreate(answering(answer), '/create?', {})).toEqual(answer);
});

test.each([[undefined], [null], [''], [{}], [{ Id: '' }], [{ Id: 7 }]])(
  'an engine that answers 200 with %j has made nothing that could be used',
  async (answer) => {
    await expect(callCreate(answering(answer), '/create?', {})).rejects.toMatchObject({
      code: 'engine_unavailable',
      hint: expect.stringContaining('proxy'),
    });
  },
);

test('what is asked of a container is in the body alone, and its name in the query too', async () => {
  const dial = vi.fn((_call: unknown, callback: (error: null, answer: unknown) => void) => callback(null, { Id: 'a' }));
  const container = { name: 'one', HostConfig: { SecurityOpt: ['seccomp={}'] } };
  await callCreate(Object.assign(new Dockerode(), { modem: { dial } }), '/create?', container);
  expect(dial.mock.calls[0]?.[0]).toMatchObject({ options: { _query: { name: 'one' }, _body: container } });
});
