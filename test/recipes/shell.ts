import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { vi } from 'vitest';
import { run } from '../clients/environments.ts';
import { CLI, engine, environment, newStateDir, startServer } from '../support/server.ts';

/** A home of its own, in which the commands of a recipe run. */
export interface Home extends AsyncDisposable {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs a block of a page. What it writes is on both streams, in one text. @throws when it fails */
  paste(block: string): Promise<string>;
}

/** Variables that lead clients to files elsewhere. */
const ELSEWHERE = ['XDG_CONFIG_HOME', 'CODEX_HOME', 'CLAUDE_CONFIG_DIR', 'GLOVEBOX_KEY'] as const;

/** @param commands of the recipe, each with the program and arguments that it stands for */
export function makeHome(commands: Readonly<Record<string, readonly string[]>> = {}): Home {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-recipe-'));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  // A clone has the package by the name that npx looks for; what npx does beyond is npm's.
  const all = { npx: [process.execPath, CLI], node: [process.execPath], ...commands };
  for (const [name, command] of Object.entries(all)) {
    const words = command.map((word) => `'${word}'`).join(' ');
    const drop = name === 'npx' ? '[ "$1" = glovebox ] || exit 127\nshift\n' : '';
    writeFileSync(join(bin, name), `#!/bin/sh\n${drop}exec ${words} "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const stateDir = newStateDir();
  const env: NodeJS.ProcessEnv = {
    ...environment(stateDir),
    HOME: folder,
    PATH: `${bin}${delimiter}${process.env['PATH']}`,
  };
  for (const name of ELSEWHERE) delete env[name];
  // Most clients pass no variables on: what a test server needs has to be in the configuration.
  const settings = `--image slim --setup never --state-dir ${stateDir}`;
  return {
    folder,
    env,
    async paste(block) {
      const script = block.replaceAll(/(mcp-config [^\n]*)/g, (line) =>
        line.includes('--http') ? line : `${line} ${settings}`,
      );
      const { code, stdout, stderr } = await run('sh', ['-ec', `exec 2>&1\n${script}`], {
        cwd: folder,
        env,
        limitMs: 90_000,
      });
      if (code !== 0) throw new Error(`The block ended with ${code}:\n${stdout}${stderr}`);
      return stdout;
    },
    [Symbol.asyncDispose]: async () => {
      await removeLeft(stateDir);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Some clients kill the program at once that they have started. What it leaves then is removed by the next start. */
async function removeLeft(stateDir: string): Promise<void> {
  const id = join(stateDir, 'id');
  if (!existsSync(id)) return;
  const own = `@${readFileSync(id, 'utf8')}`;
  await using _server = await startServer({ stateDir });
  const left = async () => {
    const all = await engine().listContainers({ all: true, filters: { label: ['glovebox.instance'] } });
    const labels = all.map(({ Labels }) => Labels['glovebox.instance'] ?? '');
    if (labels.some((label) => label.startsWith('stdio.') && label.endsWith(own))) throw new Error(labels.join(', '));
  };
  await vi.waitFor(left, { timeout: 15_000, interval: 100 });
}
