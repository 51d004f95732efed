import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { environment } from './environment.ts';
import { run } from './programs.ts';

/** A proxy that many use, which takes a name and a password as that of Glovebox does. */
const PACKAGE = 'proxy-chain@3.0.1';
const PROGRAM = `
import { Server } from 'proxy-chain';
const server = new Server({ port: 0, host: '127.0.0.1', prepareRequestFunction: ({ password }) => ({ requestAuthentication: password !== 'secret' }) });
await server.listen();
process.stdout.write(server.port + '\\n');
process.stdin.resume().on('end', () => process.exit());
`;

export interface BareProxy extends AsyncDisposable {
  readonly url: string;
}

/** Installs a proxy into a folder, and starts it in a process of its own. */
export async function startBareProxy(folder: string): Promise<BareProxy> {
  writeFileSync(join(folder, 'package.json'), '{"type": "module", "private": true}');
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder, PACKAGE]);
  const program = join(folder, 'proxy.mjs');
  writeFileSync(program, PROGRAM);
  const child = spawn(process.execPath, [program], { env: environment(), stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    url: `http://glovebox:secret@127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
