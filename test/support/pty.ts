import { spawn } from 'node:child_process';
import { CLI, type Exit, exitOf, withDeadline } from './server.ts';

const LIMIT_MS = 45_000;
/** Runs a command on a PTY of its own. Lines of JSON say what to type, and what size the PTY gets. */
const DRIVER = `
import fcntl, json, os, pty, select, struct, sys, termios
pid, master = pty.fork()
def resize(rows, cols): fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))
if pid == 0:
    os.read(0, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
resize(24, 80)
os.write(master, b'\\n')
asked = b''
inputs = [master, 0]
while True:
    ready, _, _ = select.select(inputs, [], [])
    if master in ready:
        try: data = os.read(master, 65536)
        except OSError: break
        if not data: break
        os.write(1, data)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data: inputs.remove(0)
        *lines, asked = (asked + data).split(b'\\n')
        for line in lines:
            wanted = json.loads(line)
            if 'type' in wanted: os.write(master, wanted['type'].encode())
            else: resize(*wanted['size'])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** `glovebox` on a terminal of 24 rows and 80 columns, as a person has it. */
export interface OnPty {
  /** All that the terminal was sent. */
  readonly output: string;
  readonly ended: Promise<Exit>;
  type(text: string): void;
  resize(rows: number, cols: number): void;
  /** Resolves once this was printed, after an offset of the output. */
  until(text: string | RegExp, after?: number): Promise<void>;
  kill(): void;
}

export function startOnPty(args: readonly string[], env: NodeJS.ProcessEnv): OnPty {
  const words = ['-c', DRIVER, process.execPath, CLI, ...args];
  const child = spawn('python3', words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  const waiting = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    for (const look of waiting) look();
  });
  child.stdin.on('error', () => {});
  const say = () => `It did not end, or say it: ${JSON.stringify(output.slice(-2000))}`;
  const limited = <T>(promise: Promise<T>) => withDeadline(promise, LIMIT_MS, say, () => child.kill('SIGKILL'));
  const ended = limited(exitOf(child));
  const tell = (wanted: object) => void child.stdin.write(`${JSON.stringify(wanted)}\n`);
  return {
    get output() {
      return output;
    },
    ended,
    type: (text) => tell({ type: text }),
    resize: (rows, cols) => tell({ size: [rows, cols] }),
    until: async (text, after = 0) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => {
        const since = output.slice(after);
        if (typeof text === 'string' ? since.includes(text) : text.test(since)) resolve();
      };
      waiting.add(look);
      look();
      await limited(promise);
      waiting.delete(look);
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
