// Runs a program and shows its output while it runs.
import { Glovebox } from 'glovebox';

await using glovebox = await Glovebox.open({ image: 'slim', memoryMb: 512 });
await using session = await glovebox.sessions.open();

const code = `
import time
for step in range(3):
    print("step", step, flush=True)
    time.sleep(0.5)
`;
const result = await session.run(code, {
  timeoutMs: 5_000,
  onEvent: (event) => {
    if (event.type === 'stdout') process.stdout.write(`live: ${event.text}`);
  },
});
console.log(`It ended as "${result.status}" after ${Math.round(result.durationMs)} ms.`);

// A bad end is a status of the result, not an exception.
const late = await session.run('while True: pass', { timeoutMs: 500 });
console.log(`A loop without end: "${late.status}".`);
