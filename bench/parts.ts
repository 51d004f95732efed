import { measureCallParts } from './call-parts.ts';
import { measureCells } from './cells.ts';
import { measureDensity } from './density.ts';
import { measureFairness } from './fairness.ts';
import { measureFirstImports } from './first-import.ts';
import { measureForks } from './forks.ts';
import { measureGroup } from './group.ts';
import { measureHibernation } from './hibernate.ts';
import { measureInstalls } from './install.ts';
import { measureKubernetes, measureKubernetesMany } from './kubernetes.ts';
import { measureMemory } from './memory.ts';
import { measureNewSessions } from './new-session.ts';
import { measurePreload } from './preload.ts';
import { measurePrints } from './print.ts';
import { measureRestarts } from './restart.ts';
import { measureSessionRate } from './session-rate.ts';
import type { Setting } from './setting.ts';
import { measureStartsBeside } from './starts-beside.ts';
import { measureStreaming } from './streaming.ts';
import type { Row } from './table.ts';
import { measureTelemetry } from './telemetry.ts';
import { measureTerminal } from './terminal.ts';
import { measureThroughput } from './throughput.ts';
import { measureTools } from './tools.ts';
import { measureTransfers } from './transfers.ts';
import { measureWeb } from './web.ts';

type Measure = (setting: Setting) => Promise<Row[]>;

/** What a run consists of, in order, by the names that `--only` knows. */
export const PARTS: ReadonlyMap<string, readonly Measure[]> = new Map([
  ['print', [measurePrints, measureCallParts, measureForks]],
  ['cells', [measureCells]],
  ['imports', [measurePreload]],
  ['first-imports', [measureFirstImports]],
  ['new-sessions', [measureNewSessions]],
  ['fairness', [measureFairness]],
  ['starts', [measureStartsBeside]],
  ['hibernation', [measureHibernation]],
  ['memory', [measureMemory]],
  ['throughput', [measureThroughput]],
  ['session-rate', [measureSessionRate]],
  ['restart', [measureRestarts]],
  ['streaming', [measureStreaming, measureTransfers]],
  ['installations', [measureInstalls]],
  ['tools', [measureTools]],
  ['terminal', [measureTerminal]],
  ['web', [measureWeb]],
  ['telemetry', [measureTelemetry]],
  ['density', [measureDensity]],
  ['kubernetes', [measureKubernetes]],
  ['kubernetes-many', [measureKubernetesMany]],
  ['group', [measureGroup]],
]);

/** Parts that take a cluster, or set one up. */
export const ONLY_IF_NAMED: readonly string[] = ['kubernetes', 'kubernetes-many', 'group'];
