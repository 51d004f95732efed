import type { CpuProfile } from './cpu-profile.ts';

/** Microseconds between two samples. */
const INTERVAL_US = 100;

/** Profiles a process of Node, by the address that it prints when it was started with `--inspect`, while work is done. */
export async function profileNode(address: string, work: () => Promise<void>): Promise<CpuProfile> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    waiting.get(answer.id)?.(answer);
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', () => reject(new Error(`No inspector at ${address}.`)), { once: true });
  });
  const ask = async (method: string, params: Record<string, unknown> = {}) => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const id = waiting.size + 1;
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params }));
    return await promise;
  };
  try {
    await ask('Profiler.enable');
    await ask('Profiler.setSamplingInterval', { interval: INTERVAL_US });
    await ask('Profiler.start');
    await work();
    const { result } = await ask('Profiler.stop');
    if (!result?.profile) throw new Error('The inspector answered without a profile.');
    return result.profile;
  } finally {
    socket.close();
  }
}

interface Answer {
  readonly id: number;
  readonly result?: { readonly profile?: CpuProfile };
}
