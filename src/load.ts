import { setImmediate } from 'node:timers/promises';

/** Turns of the event loop in which a request is accepted, read and answered. */
const TURNS = 3;

/** Loads the core. In parts, because nothing else happens while one is loaded: in between, requests are answered. */
export async function loadGlovebox(): Promise<typeof import('./glovebox.ts')> {
  await letAnswer();
  await import('./sessions/sessions.ts');
  await letAnswer();
  await import('./scheduling/execution-metrics.ts');
  await letAnswer();
  return await import('./glovebox.ts');
}

/** Loads what serves a core, like {@link loadGlovebox}. */
export async function loadServer(): Promise<typeof import('./server.ts')> {
  await letAnswer();
  await import('./http/app.ts');
  await letAnswer();
  await import('./mcp/server.ts');
  await letAnswer();
  return await import('./server.ts');
}

async function letAnswer(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await setImmediate();
}
