import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A model's place at the other end of a client: it calls one tool, and repeats what came of it. */
export interface PlayedModel extends AsyncDisposable {
  readonly url: string;
  /** Names of all tools that it was offered. */
  readonly offered: ReadonlySet<string>;
}

interface ToolCall {
  readonly name: string;
  readonly input: object;
}

/** What a client sends of a conversation, in as far as the tests read it. */
interface Block {
  readonly type?: string;
  readonly content?: unknown;
  readonly functionResponse?: { readonly response: unknown };
}

type Play = (request: { url: string; body: Record<string, unknown> }, response: ServerResponse) => void;

/** Plays the Messages API of Anthropic, which Claude Code speaks. */
export function playAnthropic(call: ToolCall): Promise<PlayedModel> {
  return listen((offered) => ({ body }, response) => {
    for (const { name } of listOf<{ name: string }>(body['tools'])) offered.add(name);
    const blocks = listOf<{ content: string | Block[] }>(body['messages']).flatMap(({ content }) =>
      typeof content === 'string' ? [] : content,
    );
    const result = blocks.find(({ type }) => type === 'tool_result');
    const message = { id: 'm', type: 'message', role: 'assistant', model: 'played', content: [], usage: USAGE };
    const text = `It said: ${JSON.stringify(result?.content)}`;
    const events = [
      ['message_start', { message: { ...message, stop_reason: null, stop_sequence: null } }],
      ...(result
        ? blockOf({ type: 'text', text: '' }, { type: 'text_delta', text })
        : blockOf(
            { type: 'tool_use', id: 't1', name: call.name, input: {} },
            { type: 'input_json_delta', partial_json: JSON.stringify(call.input) },
          )),
      ['message_delta', { delta: { stop_reason: result ? 'end_turn' : 'tool_use' }, usage: { output_tokens: 1 } }],
      ['message_stop', {}],
    ] as const;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const [type, data] of events) response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
    response.end();
  });
}

const USAGE = { input_tokens: 1, output_tokens: 1 };

function blockOf(content_block: object, delta: object): readonly (readonly [string, object])[] {
  return [
    ['content_block_start', { index: 0, content_block }],
    ['content_block_delta', { index: 0, delta }],
    ['content_block_stop', { index: 0 }],
  ];
}

/** Plays the API of Gemini. */
export function playGemini(call: ToolCall): Promise<PlayedModel> {
  return listen((offered) => ({ url, body }, response) => {
    const tools = listOf<{ functionDeclarations?: { name: string }[] }>(body['tools']);
    for (const { name } of tools.flatMap(({ functionDeclarations = [] }) => functionDeclarations)) offered.add(name);
    const parts = listOf<{ parts?: Block[] }>(body['contents']).flatMap(({ parts: inner = [] }) => inner);
    const result = parts.find(({ functionResponse }) => functionResponse)?.functionResponse;
    const part = result
      ? { text: `It said: ${JSON.stringify(result.response)}` }
      : { functionCall: { name: call.name, args: call.input } };
    const answer = { candidates: [{ content: { role: 'model', parts: [part] }, finishReason: 'STOP', index: 0 }] };
    const streams = url.includes('stream');
    response.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' });
    response.end(streams ? `data: ${JSON.stringify(answer)}\r\n\r\n` : JSON.stringify({ ...answer, totalTokens: 1 }));
  });
}

function listOf<T>(value: unknown): readonly T[] {
  return Array.isArray(value) ? value : [];
}

async function listen(play: (offered: Set<string>) => Play): Promise<PlayedModel> {
  const offered = new Set<string>();
  const answer = play(offered);
  const server = createServer((request, response) => {
    void readBody(request).then((text) => {
      if (request.method === 'POST')
        answer({ url: request.url ?? '', body: text === '' ? {} : JSON.parse(text) }, response);
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    offered,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
