#!/bin/bash
# Claude Code gives the model the JSON of a tool result's structured content in the place of its text.
#
# Guess: a result of MCP has its text for models and its structured content for programs, so where a server sends both and
#   they differ, the model reads the text.
# Versions: @anthropic-ai/claude-code 2.1.332 (Linux, x64; November 2026), Node 20 and later; protocol 2025-06-18.
# Behaviour: the model gets one text, which is the structured content as JSON. The text part is dropped, without a word to
#   the server; a picture beside it stays. The same result without structured content comes as its text.
# Output seen:
#   text alone: the words for a model
#   text and structure: {"answer":42}
#   picture, text and structure: [Image: source: …/mcp-probe-blob-….png] | {"answer":42} and 1 picture
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @anthropic-ai/claude-code@2.1.332
cat > server.mjs <<'CODE'
// A server of MCP on stdin and stdout with three tools.
import { createInterface } from 'node:readline';

const text = { type: 'text', text: 'the words for a model' };
const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const picture = { type: 'image', mimeType: 'image/png', data: pixel };
const structuredContent = { answer: 42 };
const results = {
  plain: { content: [text] },
  both: { content: [text], structuredContent },
  pictured: { content: [text, picture], structuredContent },
};
const tool = (name) => ({
  name,
  description: name,
  inputSchema: { type: 'object' },
  ...(name === 'plain' ? {} : { outputSchema: { type: 'object', properties: { answer: { type: 'number' } } } }),
});
const answer = ({ method, params }) => {
  if (method === 'initialize')
    return { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'probe', version: '1' } };
  if (method === 'tools/list') return { tools: Object.keys(results).map(tool) };
  return method === 'tools/call' ? results[params.name] : {};
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  if (message.id !== undefined)
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: answer(message) })}\n`);
});
CODE
cat > probe.mjs <<'CODE'
// Plays the model: asks for one tool, and keeps what comes of it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';

async function ask(tool) {
  let result;
  const model = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    if (request.method !== 'POST' || !request.url.startsWith('/v1/messages?')) return void response.end('{}');
    const blocks = JSON.parse(body).messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
    result = blocks.find(({ type }) => type === 'tool_result') ?? result;
    const [content_block, delta] = result
      ? [{ type: 'text', text: '' }, { type: 'text_delta', text: 'done' }]
      : [{ type: 'tool_use', id: 't', name: `mcp__probe__${tool}`, input: {} }, { type: 'input_json_delta', partial_json: '{}' }];
    const message = { id: 'm', type: 'message', role: 'assistant', model: 'm', content: [], usage: { input_tokens: 1, output_tokens: 1 } };
    const events = [
      { type: 'message_start', message },
      { type: 'content_block_start', index: 0, content_block },
      { type: 'content_block_delta', index: 0, delta },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: result ? 'end_turn' : 'tool_use' }, usage: { output_tokens: 1 } },
      { type: 'message_stop' },
    ];
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''));
  }).listen(0, '127.0.0.1');
  await once(model, 'listening');
  const servers = { mcpServers: { probe: { command: process.execPath, args: [`${process.cwd()}/server.mjs`] } } };
  const args = ['-p', 'Go.', '--mcp-config', JSON.stringify(servers), '--allowedTools', `mcp__probe__${tool}`];
  const env = {
    ...{ PATH: process.env.PATH, HOME: process.cwd(), ANTHROPIC_BASE_URL: `http://127.0.0.1:${model.address().port}` },
    ...{ ANTHROPIC_API_KEY: 'none', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' },
  };
  const wrapper = 'node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs';
  const claude = spawn(process.execPath, [wrapper, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  await once(claude, 'exit');
  model.closeAllConnections();
  model.close();
  const parts = typeof result?.content === 'string' ? [{ type: 'text', text: result.content }] : (result?.content ?? []);
  const texts = parts.filter(({ type }) => type === 'text').map(({ text }) => text);
  return { text: texts.join(' | '), pictures: parts.filter(({ type }) => type === 'image').length };
}

const [plain, both, pictured] = [await ask('plain'), await ask('both'), await ask('pictured')];
console.log(`text alone: ${plain.text}`);
console.log(`text and structure: ${both.text}`);
console.log(`picture, text and structure: ${pictured.text} and ${pictured.pictures} picture`);
const isJson = ({ text }) => text.includes('"answer"') && !text.includes('the words');
process.exit(plain.text.includes('the words') && isJson(both) && isJson(pictured) && pictured.pictures === 1 ? 0 : 1);
CODE
node probe.mjs
