import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { clientFile, goProgram, nodeEnvironment, pythonEnvironment } from './environments.ts';

/** A client under test: how it is installed and started, and what it has no means for. */
export interface Entry {
  readonly name: string;
  /** Steps that it cannot do, whatever the server, with the reason. */
  readonly lacks: Readonly<Record<string, string>>;
  /** Installs it and tells the command that drives it, and the folder to run that in. */
  install(url: string, mode: 'default' | 'patient'): Promise<Start>;
}

export interface Start {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
}

type Lacks = Entry['lacks'];

const NO_PROGRESS = { progress: 'it asks for no progress' };
const NO_RESOURCES = { resources: 'its adapter is for tools only' };
const NO_CANCEL = { cancel: 'its calls block' };

function python(name: string, version: 1 | 2, client: string, lacks: Lacks = {}): Entry {
  return {
    name,
    lacks,
    install: async (url, mode) => {
      const interpreter = await pythonEnvironment(`requirements-mcp${version}.txt`);
      return { command: [interpreter, clientFile(`drive_mcp${version}.py`), client, url, mode], cwd: clientFile('.') };
    },
  };
}

function node(name: string, packages: string, client: string, lacks: Lacks = {}): Entry {
  return {
    name,
    lacks,
    install: async (url, mode) => {
      const cwd = await nodeEnvironment(`packages-${packages}.json`);
      copyFileSync(clientFile('drive.mjs'), join(cwd, 'drive.mjs'));
      return { command: [process.execPath, 'drive.mjs', client, url, mode], cwd };
    },
  };
}

/** A command that is a server on stdio and a client of ours, under the session of the SDK for Python. */
function bridge(name: string, command: (url: string) => Promise<readonly string[]>): Entry {
  return {
    name,
    lacks: {},
    install: async (url, mode) => {
      const interpreter = await pythonEnvironment('requirements-mcp1.txt');
      const driver = [interpreter, clientFile('drive_mcp1.py')] as const;
      return { command: [...driver, 'bridge', url, mode, ...(await command(url))], cwd: clientFile('.') };
    },
  };
}

async function nodeBridge(name: string, ...args: readonly string[]): Promise<readonly string[]> {
  const folder = await nodeEnvironment('packages-bridges.json');
  return [process.execPath, join(folder, 'node_modules', '.bin', name), ...args];
}

/** All, in the order of the table. */
export const CATALOG: readonly Entry[] = [
  python('mcp 1.30.0 (Python)', 1, 'mcp'),
  python('mcp 2.3.0 (Python)', 2, 'mcp'),
  python('fastmcp 4.2.3', 2, 'fastmcp'),
  python('langchain-mcp-adapters 0.3.2', 1, 'langchain'),
  python('openai-agents 0.24.0', 1, 'openai-agents', NO_PROGRESS),
  python('pydantic-ai 2.68.0', 1, 'pydantic-ai'),
  python('llama-index-tools-mcp 0.4.8', 1, 'llama-index', NO_PROGRESS),
  python('mcp-use 1.7.1 (Python)', 1, 'mcp-use', NO_PROGRESS),
  python('smolagents 1.26.0', 1, 'smolagents', { ...NO_PROGRESS, ...NO_RESOURCES, ...NO_CANCEL }),
  python('autogen-ext 0.7.5', 1, 'autogen', NO_PROGRESS),
  node('AI SDK 6 (ai 6.0.326)', 'ai-sdk-6', 'ai-sdk', NO_PROGRESS),
  node('AI SDK 7 (ai 7.0.173)', 'ai-sdk-7', 'ai-sdk', NO_PROGRESS),
  node('TypeScript SDK 1 (1.32.2)', 'sdk', 'sdk-1'),
  node('TypeScript SDK 2 (2.4.0)', 'sdk', 'sdk-2'),
  node('Inspector 2.12.0, --cli', 'inspector', 'inspector', NO_PROGRESS),
  bridge('mcp-remote 0.15.1', (url) => nodeBridge('mcp-remote', url, '--allow-http')),
  bridge('supergateway 4.0.0', (url) => nodeBridge('supergateway', '--streamableHttp', url)),
  bridge('mcp-proxy 0.13.0', async (url) => {
    const interpreter = await pythonEnvironment('requirements-mcp1.txt');
    return [join(interpreter, '../mcp-proxy'), '--transport', 'streamablehttp', url];
  }),
  {
    name: 'go-sdk 1.8.0',
    lacks: {},
    install: async (url, mode) => ({ command: [await goProgram('go'), url, mode], cwd: clientFile('.') }),
  },
];
