// A client in JavaScript as a process, with the protocol of driver.py. Run from the folder that its packages are in.
import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const [name, url, mode] = process.argv.slice(2);
const patient = mode === 'patient';
const info = { name: 'client', version: '1' };

function toAnswer(content) {
  const texts = content.filter(({ type }) => type === 'text').map(({ text }) => text);
  return { text: texts.join('\n'), images: content.filter(({ type }) => type === 'image').length };
}

/** Both SDKs; version 1 has one more argument before the options of a call. */
async function sdk(client, transport, before) {
  await client.connect(transport);
  return {
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (tool, args, signal, onprogress) => {
      const options = { signal, onprogress, ...(patient ? { resetTimeoutOnProgress: true } : {}) };
      return toAnswer((await client.callTool({ name: tool, arguments: args }, ...before, options)).content);
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: async (uri) => (await client.readResource({ uri })).contents[0].text,
  };
}

const CLIENTS = {
  async 'sdk-1'() {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    return await sdk(new Client(info), new StreamableHTTPClientTransport(new URL(url)), [undefined]);
  },
  async 'sdk-2'() {
    const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
    const client = new Client(info, { versionNegotiation: { mode: 'auto' } });
    return await sdk(client, new StreamableHTTPClientTransport(new URL(url)), []);
  },
  async 'ai-sdk'() {
    const { createMCPClient } = await import('@ai-sdk/mcp');
    const client = await createMCPClient({ transport: { type: 'http', url } });
    const tools = await client.tools();
    return {
      tools: async () => Object.keys(tools),
      call: async (tool, args, abortSignal) => {
        const options = { toolCallId: '1', messages: [], abortSignal };
        const output = await tools[tool].execute(args, options);
        const told = await tools[tool].toModelOutput?.({ toolCallId: '1', input: args, output });
        const parts = told?.type === 'content' ? told.value : output.content;
        const isPicture = ({ type, mediaType }) =>
          type === 'image' || /^image/.test(mediaType ?? '') || /^image/.test(type);
        return { text: toAnswer(parts).text || JSON.stringify(told), images: parts.filter(isPicture).length };
      },
      resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
      read: async (uri) => (await client.readResource({ uri })).contents[0].text,
    };
  },
  /** A process for each request, as it is on the command line. */
  async inspector() {
    const ask = async (method, args = [], signal) => {
      const inspector = ['node_modules/.bin/mcp-inspector', '--cli', url, '--transport', 'http', '--method', method];
      // It says with its exit code, too, that a tool has failed.
      const ran = promisify(execFile)(process.execPath, [...inspector, ...args], { signal, maxBuffer: 2 ** 26 });
      const { stdout, stderr } = await ran.catch((error) => (error.stderr ? error : Promise.reject(error)));
      if (!stdout) throw new Error(stderr);
      return JSON.parse(stdout);
    };
    const flags = ([key, value]) => [
      '--tool-arg',
      `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ];
    return {
      tools: async () => (await ask('tools/list')).tools.map((tool) => tool.name),
      call: async (tool, args, signal) => {
        const given = Object.entries(args).flatMap(flags);
        return toAnswer((await ask('tools/call', ['--tool-name', tool, ...given], signal)).content);
      },
      resources: async () => (await ask('resources/list')).resources.map(({ uri }) => uri),
      read: async (uri) => (await ask('resources/read', ['--uri', uri])).contents[0].text,
    };
  },
};

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const client = await CLIENTS[name]();
const running = new Map();
say({ ready: true });

async function handle({ id, op, name: tool, arguments: args, uri }) {
  const controller = new AbortController();
  running.set(id, controller);
  const heard = () => say({ id, heard: true });
  try {
    const answer = op === 'call' ? await client.call(tool, args, controller.signal, heard) : await client[op](uri);
    say({ id, answer });
  } catch (error) {
    say({ id, error: `${error.name}: ${error.message}` });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'cancel') running.get(request.of)?.abort();
  else void handle(request);
}
process.exit();
