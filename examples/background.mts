// Starts a long program in the background, shows how far it is, and takes its result.
import { Glovebox } from 'glovebox';

await using glovebox = await Glovebox.open({ image: 'slim' });
await using session = await glovebox.sessions.open();

const code = `
import time
for percent in range(0, 101, 20):
    print(f"{percent} %", flush=True)
    time.sleep(0.3)
`;
const job = await session.start(code, { timeoutMs: 60_000 });

let offset = 0;
while (job.status === 'queued' || job.status === 'running') {
  await job.wait(500);
  const { stdout, next } = await job.read({ stdout: offset });
  process.stdout.write(stdout);
  offset = next.stdout;
}
const result = await job.result;
console.log(`It ended as "${result.status}". job.cancel() would have ended it before.`);
