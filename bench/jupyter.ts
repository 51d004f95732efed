import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { environment } from './environment.ts';
import { assertOutput, run } from './programs.ts';

const DRIVER = fileURLToPath(new URL('kernel.py', import.meta.url));
const PACKAGES = ['jupyter_client', 'ipykernel'];

/** One Jupyter kernel after the other, on the machine itself, used through Jupyter's own client. */
export interface Jupyter extends AsyncDisposable {
  /** Starts a kernel and has it print 1; its process id. */
  start(): Promise<number>;
  /** A cell of `print(1)`, from the request until the kernel is idle again. */
  print(): Promise<void>;
  stop(): Promise<void>;
}

/** Installs Jupyter with the machine's pip; how to open it, or undefined, and why on stderr, where it cannot be installed. */
export async function installJupyter(python: string, folder: string): Promise<(() => Jupyter) | undefined> {
  const interpreter = join(folder, 'bin', 'python');
  try {
    await run(python, ['-m', 'venv', folder]);
    await run(interpreter, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES]);
  } catch (error) {
    process.stderr.write(`bench: No Jupyter kernel to compare with: ${(error as Error).message}\n`);
    return undefined;
  }
  return () => open(interpreter, folder);
}

function open(interpreter: string, folder: string): Jupyter {
  const own = { JUPYTER_DATA_DIR: folder, JUPYTER_RUNTIME_DIR: folder, JUPYTER_CONFIG_DIR: folder, IPYTHONDIR: folder };
  const child = spawn(interpreter, [DRIVER], {
    env: { ...environment(), ...own },
    stdio: ['pipe', 'pipe', 'inherit'],
    // In a process group of its own: Ctrl-C is for this program, which then stops it in order.
    detached: true,
  });
  const exited = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (word: string): Promise<{ pid?: number; printed?: string }> => {
    child.stdin.write(`${word}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error(`The driver of the Jupyter kernel ended at ${JSON.stringify(word)}.`);
    return JSON.parse(value) as { pid?: number; printed?: string };
  };
  return {
    start: async () => {
      const { pid = 0, printed = '' } = await ask('start');
      assertOutput(printed, 'A new Jupyter kernel');
      return pid;
    },
    print: async () => assertOutput((await ask('print')).printed ?? '', 'A Jupyter kernel'),
    stop: async () => void (await ask('stop')),
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
