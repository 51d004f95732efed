import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Preloaded by a server under test: at SIGUSR2 it collects its garbage and writes what memory is left in use.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
process.on('SIGUSR2', () => {
  collect();
  const path = process.env['SOAK_PROBE'];
  if (path) writeFileSync(path, JSON.stringify(process.memoryUsage()));
});
