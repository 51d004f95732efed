import { deepEqual, ok } from 'node:assert/strict';
import { Hono } from 'hono';
import { GloveboxError } from '../../../src/errors.ts';
import { RequestBody, readBody } from '../../../src/http/body.ts';
import { parseJsonObject } from '../../../src/http/json.ts';
import { readForm } from '../../../src/http/multipart.ts';
import type { Env } from '../../../src/http/route.ts';
import { cut, stream, type Target } from '../target.ts';

const MOST_BYTES = 8 * 1024;
const FORM = 'multipart/form-data; boundary=x-1';
const KNOWN = ['code', 'session_id', 'timeout_s', 'files', 'a'];

/** Bodies of requests: as text and JSON, as a form, and as a stream of bytes. */
export const httpBody: Target = {
  name: 'http-body',
  longest: 12 * 1024,
  words: [
    ...[
      '{"code":',
      '"session_id"',
      '"timeout_s":',
      '[',
      '{',
      '"',
      '\\u',
      '\\ud800',
      '\\',
      ',',
      ':',
      'null',
      'true',
      '1e999',
      '-0',
      '__proto__',
    ],
    ...[
      '\r\n',
      '--x-1',
      '--x-1--',
      '\r\n--x-1\r\n',
      'Content-Disposition: form-data; name="f"; filename="a"',
      "filename*=UTF-8''%C3%A9",
    ],
    ...[
      'Content-Transfer-Encoding: base64',
      'name=',
      '%22',
      '%zz',
      '\\"',
      Buffer.from([0xff]),
      Buffer.from([0xed, 0xa0, 0x80]),
      '\ufeff',
    ],
  ],
  async run(input) {
    await checkText(input);
    await checkForm(input);
    await checkStream(input);
  },
};

const app = new Hono<Env>();
app.post('/', async (c) => c.text(await readBody(c, MOST_BYTES)));
let thrown: unknown;
app.onError((error, c) => {
  thrown = error;
  return c.text('', 500);
});

function request(input: Buffer): Request {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of cut(input)) controller.enqueue(Uint8Array.from(piece));
      controller.close();
    },
  });
  return new Request('http://127.0.0.1/', { method: 'POST', body, duplex: 'half' });
}

async function checkText(input: Buffer): Promise<void> {
  const answer = await app.request(request(input), undefined, {});
  if (answer.status !== 200) {
    refusal(thrown, ['invalid_input', 'payload_too_large']);
    ok(input.length > MOST_BYTES || !isUtf8(input), 'a good body was refused');
    return;
  }
  ok(input.length <= MOST_BYTES && isUtf8(input), 'a body that should be refused');
  const text = await answer.text();
  try {
    deepEqual(parseJsonObject(text, KNOWN, '{"code": "print(1)"}'), JSON.parse(text));
  } catch (error) {
    refusal(error, ['invalid_input']);
  }
}

function isUtf8(input: Buffer): boolean {
  return Buffer.from(input.toString('utf8')).equals(input);
}

async function checkForm(input: Buffer): Promise<void> {
  const whole = await partsOf([input]);
  deepEqual(await partsOf(cut(input)), whole, 'cut into pieces, the form is another');
}

async function partsOf(pieces: Iterable<Buffer>): Promise<unknown[]> {
  const found: unknown[] = [];
  try {
    for await (const { name, filename, bytes } of readForm(FORM, stream(pieces))) {
      const body: Uint8Array[] = [];
      for await (const piece of bytes) body.push(piece);
      found.push({ name, filename, body: Buffer.concat(body).toString('hex') });
    }
  } catch (error) {
    refusal(error, ['invalid_input']);
    found.push((error as GloveboxError).message);
  }
  return found;
}

async function checkStream(input: Buffer): Promise<void> {
  const read: Uint8Array[] = [];
  try {
    for await (const piece of new RequestBody(request(input)).chunks(MOST_BYTES)) read.push(piece);
    ok(Buffer.concat(read).equals(input), 'other bytes came than were sent');
  } catch (error) {
    refusal(error, ['payload_too_large']);
    ok(input.length > MOST_BYTES);
  }
}

function refusal(error: unknown, codes: readonly string[]): asserts error is GloveboxError {
  ok(error instanceof GloveboxError && codes.includes(error.code), `${error instanceof Error ? error.stack : error}`);
  ok(error.message.length < 2000 && error.message.isWellFormed(), `a message that cannot be sent: ${error.message}`);
}
