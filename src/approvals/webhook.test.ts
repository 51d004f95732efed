import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { createLog } from '../log.ts';
import { makeQuestion } from './question.ts';
import { openWebhook as openOf, Webhook } from './webhook.ts';

const SECRET = 'a-long-random-text-of-your-own';
const CALL = {
  caller: { owner: 'alice', sessionId: 'gbx_1', executionId: 'exe_1' },
  server: 'files',
  tool: 'write',
  arguments: { path: 'a\u202eb', content: 'x'.repeat(10_000) },
  mode: 'writes',
} as const;

/** An address that answers with these statuses, one after the other, and a webhook to it. */
async function openWebhook(statuses: (number | 'redirect')[], secret = SECRET) {
  const got: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer(async (request, response) => {
    got.push({ headers: request.headers, body: await text(request) });
    const status = statuses.shift() ?? 204;
    if (status === 'redirect') response.writeHead(307, { location: '/elsewhere' }).end();
    else response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const lines: string[] = [];
  const log = createLog('debug', (line) => lines.push(line));
  const url = `http://127.0.0.1:${port}/private-path`;
  const webhook = new Webhook({ url, secret, log, attemptsMs: [0, 1, 1] });
  const question = makeQuestion(CALL, 600_000);
  if (!question) throw new Error('no question');
  return {
    ...{ got, lines, webhook, question },
    [Symbol.dispose]: () => {
      webhook[Symbol.dispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

test.each([
  ['a text', SECRET, Buffer.from(SECRET)],
  ['base64 of Standard Webhooks', 'whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyISE=', Buffer.from('secret of twenty-four!!')],
])('a question is posted, short, escaped, and signed with %s', async (_how, secret, key) => {
  using opened = await openWebhook([200], secret);
  const { got, webhook, question, lines } = opened;
  await webhook.send(question);
  const [{ headers, body } = { headers: {}, body: '' }] = got;
  expect(Buffer.byteLength(body)).toBeLessThan(4096);
  expect(JSON.parse(body)).toMatchObject({
    type: 'approval.asked',
    data: {
      approval_id: question.id,
      owner: 'alice',
      server: 'files',
      tool: 'write',
      arguments: expect.stringMatching(/^\{"path": "a\\u202eb", "content": "x+… \d+ more characters\}$/),
      arguments_bytes: expect.any(Number),
      answers: ['once', 'session', 'refuse'],
      answer_at: `/approvals/${question.id}`,
    },
  });
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  expect(headers['webhook-id']).toBe(question.id);
  expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
  expect(lines).toEqual([]);
});

test('a question is posted again where it was refused, and given up after three attempts', async () => {
  using opened = await openWebhook([500, 503, 200]);
  await opened.webhook.send(opened.question);
  expect([opened.got.length, opened.lines]).toEqual([3, []]);
  using refused = await openWebhook([500, 500, 500]);
  await refused.webhook.send(refused.question);
  expect(refused.got).toHaveLength(3);
  expect(refused.lines.join('')).toMatch(/did not reach GLOVEBOX_APPROVAL_WEBHOOK .*reason="status 500"/);
});

test('a question follows no redirect, and the log shows neither address nor secret', async () => {
  using opened = await openWebhook(['redirect', 'redirect', 'redirect']);
  const { got, webhook, question, lines } = opened;
  await webhook.send(question);
  expect(got).toHaveLength(3);
  expect(lines).toHaveLength(1);
  expect(lines.join('')).not.toMatch(/private-path|127\.0\.0\.1|a-long-random/);
});

test('a question that is on its way when the server stops is given up', async () => {
  using opened = await openWebhook([500]);
  const sending = opened.webhook.send(opened.question);
  opened.webhook[Symbol.dispose]();
  await sending;
  expect(opened.lines).toEqual([]);
});

test('a webhook without a secret, or a secret without a webhook, is refused', () => {
  const log = createLog('error');
  expect(openOf(undefined, undefined, log)).toBeUndefined();
  expect(openOf('https://x', SECRET, log)).toBeInstanceOf(Webhook);
  for (const [url, secret] of [
    ['https://x', undefined],
    [undefined, SECRET],
  ])
    expect(() => openOf(url, secret, log)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
});
