import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { CLI, type Exit, environment, exitOf, withDeadline } from './server.ts';

interface Message {
  readonly jsonrpc?: string;
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { code: number; message: string };
}

/** `glovebox stdio`, spoken to by hand. */
export interface StdioProcess {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Every line that came on stdout. */
  readonly lines: readonly string[];
  stderr(): string;
  write(text: string): void;
  request(method: string, params?: object): Promise<Message>;
  /** Initializes a session of the older protocols. */
  initialize(): Promise<Message>;
  /** Hangs up, as a client does that ends. */
  end(): Promise<Exit>;
  kill(signal: NodeJS.Signals): Promise<Exit>;
}

const ANSWER_LIMIT_MS = 40_000;
const EXIT_LIMIT_MS = 20_000;

export function startStdio(stateDir: string, env: Readonly<Record<string, string>> = {}): StdioProcess {
  const child = spawn(process.execPath, [CLI, 'stdio'], { env: environment(stateDir, env), stdio: 'pipe' });
  const exited = exitOf(child);
  const lines: string[] = [];
  const pending = new Map<number, (message: Message) => void>();
  let [said, requests] = ['', 0];
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const message = parse(line);
    if (message.id !== undefined) pending.get(message.id)?.(message);
  });
  const write = (text: string) => void child.stdin.write(text);
  const request = async (method: string, params: object = {}) => {
    requests += 1;
    const id = requests;
    const answer = new Promise<Message>((resolve) => pending.set(id, resolve));
    write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    return await withDeadline(answer, ANSWER_LIMIT_MS, () => `No answer to ${method}:\n${said}`);
  };
  const ended = () =>
    withDeadline(
      exited,
      EXIT_LIMIT_MS,
      () => `The process did not end:\n${said}`,
      () => child.kill('SIGKILL'),
    );
  return {
    pid: child.pid ?? 0,
    exited,
    lines,
    stderr: () => said,
    write,
    request,
    initialize: async () => {
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'hand', version: '1' } };
      const answer = await request('initialize', params);
      write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n');
      return answer;
    },
    end: () => {
      child.stdin.end();
      return ended();
    },
    kill: (signal) => {
      child.kill(signal);
      return ended();
    },
  };
}

function parse(line: string): Message {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return {};
  }
}
