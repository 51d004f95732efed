import { afterEach, describe, expect, it } from 'vitest';
import { failureOf, openBroker } from '../../test/support/broker.ts';
import { type OfferedTool, startToolServer, textResult } from '../../test/support/tool-server.ts';

const echo: OfferedTool = {
  name: 'echo',
  description: 'Says it again.',
  inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
  run: ({ text }) => textResult(String(text)),
};

const closing: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

function later<T extends AsyncDisposable>(one: T): T {
  closing.push(one);
  return one;
}

const never = { approve: 'never' };

describe.each(['modern', 'legacy', 'both'] as const)('a server that speaks %s', (speaks) => {
  it('lists and calls its tools over one connection', async () => {
    const server = later(await startToolServer({ tools: () => [echo], speaks }));
    const { broker, value } = later(openBroker({ demo: { url: server.url, description: 'A  demo.', ...never } }));
    expect(broker.servers('local')).toEqual([{ name: 'demo', description: 'A demo.', isDefault: false }]);
    expect(await broker.catalog('local', ['demo'], new AbortController().signal)).toEqual([
      {
        name: 'demo',
        description: 'A demo.',
        tools: [
          {
            name: 'echo',
            python: 'echo',
            description: 'Says it again.',
            inputSchema: echo.inputSchema,
            writes: true,
          },
        ],
      },
    ]);
    const before = server.requests.length;
    expect(await value('demo.echo', { text: 'hello' })).toBe('hello');
    expect(server.requests).toHaveLength(before + 1);
  });
});

it('says which tool or server was meant', async () => {
  const server = later(await startToolServer({ tools: () => [echo] }));
  const { call } = later(openBroker({ demo: { url: server.url, ...never } }));
  expect(await failureOf(call('demo.ehco'))).toEqual({
    code: 'bad_arguments',
    message: 'demo has no tool "ehco".',
    hint: 'Did you mean echo?',
  });
  expect(await failureOf(call('dem.echo'))).toMatchObject({ code: 'denied', hint: 'Did you mean demo?' });
});
