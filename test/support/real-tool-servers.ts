import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { nodeEnvironment, pythonEnvironment } from '../clients/environments.ts';

/** MCP servers that others have published on npm and PyPI, over files of a folder, as a file for `GLOVEBOX_TOOLS`. */
export interface RealToolServers {
  /** Path of the file. */
  readonly file: string;
  /** Folder that the server `files` may read and write. */
  readonly data: string;
  /** Repository that the server `git` may look at. */
  readonly repository: string;
}

/** Installs them, unless that is done, and sets them up in a folder. */
export async function realToolServers(folder: string): Promise<RealToolServers> {
  const [node, python, olderPython] = await Promise.all([
    nodeEnvironment('packages-tool-servers.json'),
    pythonEnvironment('requirements-tool-servers.txt'),
    // It does not run with version 2 of the SDK.
    pythonEnvironment('requirements-tool-servers-mcp1.txt'),
  ]);
  const data = join(folder, 'data');
  const repository = join(folder, 'repository');
  mkdirSync(data, { recursive: true });
  await makeRepository(repository);
  const npm = (name: string, ...args: string[]) => ({
    command: process.execPath,
    args: [join(node, `node_modules/@modelcontextprotocol/server-${name}/dist/index.js`), ...args],
  });
  const pypi = (interpreter: string, name: string, ...args: string[]) => ({
    command: join(dirname(interpreter), `mcp-server-${name}`),
    args,
  });
  const servers: Record<string, object> = {
    files: npm('filesystem', data),
    memory: { ...npm('memory'), env: { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') } },
    everything: npm('everything'),
    sqlite: pypi(olderPython, 'sqlite', '--db-path', join(folder, 'shop.db')),
    git: pypi(python, 'git', '--repository', repository),
  };
  const open = Object.entries(servers).map(([name, entry]) => [name, { ...entry, approve: 'never', default: true }]);
  const file = join(folder, 'tools.json');
  writeFileSync(file, JSON.stringify({ mcpServers: Object.fromEntries(open) }));
  return { file, data, repository };
}

async function makeRepository(folder: string): Promise<void> {
  const git = async (...args: string[]) =>
    await promisify(execFile)('git', ['-C', folder, '-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args]);
  mkdirSync(folder, { recursive: true });
  await git('init', '-q');
  for (const name of ['first', 'second', 'third']) {
    writeFileSync(join(folder, `${name}.txt`), name);
    await git('add', '.');
    await git('commit', '-q', '-m', `Add the ${name} file`);
  }
}
