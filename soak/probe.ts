import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Preloaded by a server under test: at SIGUSR2 it collects its garbage and writes what memory is left in use.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options?: object) => void;
// An ordinary collection leaves with the process the pages that it has freed, and counts buffers that it still sweeps.
// A thorough one drops code as well, of which a server that has run has more: the heap is weighed before it.
const THOROUGH = { type: 'major', execution: 'sync', flavor: 'last-resort' };
process.on('SIGUSR2', () => {
  collect();
  const { heapUsed } = process.memoryUsage();
  collect(THOROUGH);
  const path = process.env['SOAK_PROBE'];
  if (path) writeFileSync(path, JSON.stringify({ ...process.memoryUsage(), heapUsed }));
});
