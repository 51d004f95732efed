import { Violation } from '../calls.ts';
import type { Tenant } from '../tenant.ts';
import { quote } from './ordinary.ts';
import type { Scenario, World } from './scenario.ts';

const FOREVER = [
  'while True: pass',
  'import time; time.sleep(600)',
  'import subprocess; subprocess.run(["sleep", "600"])',
  'import os, time\nfor _ in range(5):\n  if os.fork() == 0: break\ntime.sleep(600)',
  'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass',
  'import os, subprocess\nsubprocess.Popen(["sleep", "600"], start_new_session=True)\nwhile True: print("y" * 10_000)',
];
/** Programs that end badly, each with the statuses that it may be told as. */
const BAD_ENDS = [
  { code: 'import os; os._exit(3)', status: ['error'] },
  { code: 'import ctypes; ctypes.string_at(0)', status: ['crashed'] },
  { code: 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)', status: ['crashed'] },
  { code: 'import os; os.kill(os.getppid(), 9)', status: ['crashed'] },
  { code: 'import os; os.kill(-1, 9)', status: ['crashed'] },
  {
    code: 'x = []\nwhile True: x.append(bytearray(8 << 20))',
    status: ['out_of_memory', 'error', 'crashed', 'timeout'],
  },
  {
    code: 'import os\ntry:\n  while True: os.fork()\nexcept OSError: pass',
    status: ['ok', 'error', 'timeout', 'crashed', 'out_of_memory'],
  },
  {
    code: 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass',
    status: ['timeout', 'crashed', 'out_of_memory'],
  },
] as const;

/** How executions come to an end before their time. */
export const ENDINGS: readonly Scenario[] = [
  { name: 'timeout', weight: 4, run: timeOut },
  { name: 'timeout in a context', weight: 1.5, run: timeOutInContext },
  { name: 'bad end', weight: 5, run: endBadly },
  { name: 'disconnect', weight: 4, run: disconnect },
  { name: 'MCP cancel', weight: 3, run: cancelOverMcp },
];

async function timeOut(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const code = `print(${quote(token)}, flush=True)\n${tenant.random.pick(FOREVER)}`;
  const { stdout } = await tenant.run(code, { status: ['timeout'] }, { timeout_s: tenant.random.pick([0.5, 1, 1.5]) });
  if (stdout !== '' && !stdout.startsWith(token)) throw new Violation(`A timeout printed ${stdout.slice(0, 100)}`);
  return 1;
}

async function timeOutInContext(tenant: Tenant): Promise<number> {
  const code = tenant.random.pick(['while True: pass', 'import time; time.sleep(600)']);
  const { context } = await tenant.run(code, { status: ['timeout'] }, { timeout_s: 0.7, context: 'a' });
  if (context?.alive === false) tenant.contexts.delete('a');
  else if (!tenant.contexts.has('a')) tenant.contexts.set('a', 0);
  return 1;
}

async function endBadly(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const { code, status } = tenant.random.pick(BAD_ENDS);
  await tenant.run(`print(${quote(token)}, flush=True)\n${code}`, { status }, { timeout_s: 5 });
  return 1;
}

/** Hangs up in mid-call; the session must serve the next one as if nothing had been. */
async function disconnect(tenant: Tenant): Promise<number> {
  const code = `print(${quote(tenant.token())}, flush=True)\n${tenant.random.pick(FOREVER)}`;
  const hangUp = AbortSignal.timeout(tenant.random.whole(1, 800));
  const answer = await tenant.ask(code, { timeout_s: 20 }, { signal: hangUp });
  if (answer.kind !== 'cut') throw new Violation(`A call that was hung up on was answered: ${JSON.stringify(answer)}`);
  await tenant.probe();
  await tenant.settle();
  return 3;
}

async function cancelOverMcp(tenant: Tenant, { cancelling }: World): Promise<number> {
  const code = `print(${quote(tenant.token())}, flush=True)\n${tenant.random.pick(FOREVER)}`;
  const signal = AbortSignal.timeout(tenant.random.whole(50, 800));
  await cancelling.call(tenant.index, { code, session_id: tenant.name, timeout_s: 20 }, signal);
  await tenant.probe();
  await tenant.settle();
  return 3;
}
