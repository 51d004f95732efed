import { measureCells } from './cells.ts';
import { measureDensity } from './density.ts';
import { measureFairness } from './fairness.ts';
import { measureHibernation } from './hibernate.ts';
import { measureInstalls } from './install.ts';
import { measureMemory } from './memory.ts';
import { measureNewSessions } from './new-session.ts';
import { measurePreload } from './preload.ts';
import { measurePrints } from './print.ts';
import { measureSessionRate } from './session-rate.ts';
import type { Setting } from './setting.ts';
import { measureStreaming } from './streaming.ts';
import type { Row } from './table.ts';
import { measureThroughput } from './throughput.ts';

/** What a run consists of, in order, by the names that `--only` knows. */
export const PARTS: ReadonlyMap<string, (setting: Setting) => Promise<Row[]>> = new Map([
  ['print', measurePrints],
  ['cells', measureCells],
  ['imports', measurePreload],
  ['new-sessions', measureNewSessions],
  ['fairness', measureFairness],
  ['hibernation', measureHibernation],
  ['memory', measureMemory],
  ['throughput', measureThroughput],
  ['session-rate', measureSessionRate],
  ['streaming', measureStreaming],
  ['installations', measureInstalls],
  ['density', measureDensity],
]);
