import type Docker from 'dockerode';
import type { Floors } from './floors.ts';

/** Forks once for each `print(1)`, as the runner does, and does nothing else: no supervisor, no report, no limits. */
const FORKS = `import json, os, resource, sys, time
def once():
    started = time.perf_counter()
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(write, 1)
        exec(compile('print(1)', '<code>', 'exec'), {'__name__': '__main__'})
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b'1\\n'
    os.wait()
    os.close(read)
    return (time.perf_counter() - started) * 1000
def used():
    own = time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (own + children.ru_utime + children.ru_stime) * 1000
def measured():
    before = used()
    took = once()
    return took, used() - before
for _ in range(20): once()
print(json.dumps(list(zip(*(measured() for _ in range(COUNT))))))
`;

/** Copies within the workspace, which is a tmpfs. */
const COPIES = `import json, os, subprocess, time
piece = os.urandom(1_000_000)
with open('/workspace/from', 'wb') as file:
    for _ in range(MEGABYTES): file.write(piece)
def once():
    started = time.perf_counter()
    subprocess.run(['cp', '/workspace/from', '/workspace/to'], check=True)
    took = time.perf_counter() - started
    os.unlink('/workspace/to')
    return MEGABYTES / took
rates = [once() for _ in range(COUNT)]
os.unlink('/workspace/from')
print(json.dumps(rates))
`;

/** Milliseconds from each fork to its end, and of processor time for it. */
export async function runForks(
  floors: Floors,
  container: Docker.Container,
  count: number,
): Promise<[number[], number[]]> {
  return await runJson(floors, container, FORKS.replace('COUNT', String(count)));
}

/** Megabytes a second of each `cp`. */
export async function runCopies(floors: Floors, container: Docker.Container, megabytes: number, count: number) {
  const code = COPIES.replaceAll('MEGABYTES', String(megabytes)).replace('COUNT', String(count));
  return await runJson<number[]>(floors, container, code);
}

async function runJson<T>(floors: Floors, container: Docker.Container, code: string): Promise<T> {
  const chunks: Buffer[] = [];
  await floors.execPython(container, code, (chunk) => chunks.push(chunk));
  const output = payloadOf(Buffer.concat(chunks));
  try {
    return JSON.parse(output) as T;
  } catch {
    throw new Error(`A program in a sealed container printed ${output.slice(0, 500)}`);
  }
}

/** What was printed, without the eight bytes that the engine puts before each piece. */
export function payloadOf(framed: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= framed.length; ) {
    const length = framed.readUInt32BE(at + 4);
    pieces.push(framed.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString();
}
