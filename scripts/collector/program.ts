import { fileURLToPath } from 'node:url';
import { ensureGoProgram } from '../go-program.ts';

/**
 * Returns the path of the OpenTelemetry Collector, with what the tests need of it.
 * @throws Error when it cannot be built
 */
export async function ensureCollector(report: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const program = {
    title: 'the OpenTelemetry Collector',
    name: 'collector',
    sources: fileURLToPath(new URL('program', import.meta.url)),
    cache: 'glovebox-collector',
    takes: 'three minutes',
  };
  return await ensureGoProgram(program, report, signal);
}

if (import.meta.main) {
  const path = await ensureCollector((line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${path}\n`);
}
