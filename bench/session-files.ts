import { post } from './doors.ts';
import type { Server } from './server.ts';

const MIB = 2 ** 20;
/** Bytes of everything that the session has installed. */
const INSTALLED = `import os
total = 0
for folder, _, names in os.walk('/workspace/.local'):
    total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
print(total)`;

/** Gives a session so many MiB: the packages that are named, and for the rest a table of numbers. */
export async function fillSession(
  { url }: Server,
  session: string,
  sizeMb: number,
  packages: readonly string[],
): Promise<void> {
  if (packages.length > 0) await install(url, session, packages);
  const { stdout } = await post(url, { code: INSTALLED, session_id: session });
  const body = createTable(sizeMb * MIB - Number(stdout));
  const sent = await fetch(`${url}/sessions/${session}/files/table.csv`, { method: 'PUT', body });
  await sent.arrayBuffer();
  if (!sent.ok) throw new Error(`${sizeMb} MB were answered with ${sent.status}.`);
}

/** Where no index is reached, the whole is a table. */
async function install(url: string, session_id: string, packages: readonly string[]): Promise<void> {
  const response = await fetch(`${url}/execute`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'install_dependencies', session_id, arguments: { packages, timeout_s: 300 } }),
  });
  const { result } = (await response.json()) as { result?: { status: string } };
  if (result?.status !== 'ok') process.stderr.write(`bench: ${packages.join(' ')} could not be installed.\n`);
}

/** Lines of a CSV file, the same ones each time, that no two are alike. */
export function createTable(bytes: number): Uint8Array<ArrayBuffer> {
  const table = Buffer.alloc(Math.max(0, bytes));
  let seed = 1;
  const next = () => {
    // Numerical Recipes' generator of pseudo-random numbers of 32 bits.
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed;
  };
  for (let at = 0, line = 0; at < table.length; line += 1) {
    const cells = [line, next() / 1000, next() % 100, (next() / 2 ** 32).toFixed(6)];
    at += table.write(`${cells.join(',')}\n`, at, 'latin1');
  }
  return table;
}
