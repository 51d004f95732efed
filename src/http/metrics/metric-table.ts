import type { AuditFigures } from '../../audit/audit-log.ts';
import type { GloveboxFigures } from '../../glovebox-figures.ts';
import type { EventLoopDelay } from './event-loop.ts';
import type { ProcessFigures } from './process-figures.ts';

/** What metrics are read from at each scrape. */
export interface Figures extends GloveboxFigures {
  readonly version: string;
  readonly eventLoop: EventLoopDelay;
  readonly process: ProcessFigures;
  /** Questions that wait for a person. */
  readonly approvalsWaiting: number;
  /** Undefined without an audit log. */
  readonly audit?: AuditFigures | undefined;
  /** Whether the keys of the identity provider cannot be fetched. Undefined if there is no provider. */
  readonly isIssuerFailing?: boolean | undefined;
}

/** Values by their labels. */
export type Samples = readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
type Table<Read> = Readonly<Record<string, readonly [help: string, read: (figures: Figures) => Read]>>;

const BYTES_PER_MIB = 2 ** 20;

/** Gauges without labels. */
export const GAUGES: Table<number> = {
  glovebox_sessions: ['Sessions, including hibernated ones.', ({ sessions }) => sessions],
  glovebox_sessions_hibernated: ['Sessions that consist of their archive.', ({ hibernated }) => hibernated],
  glovebox_sessions_adopting: ['Sessions that are still to be adopted from the last run.', ({ adopting }) => adopting],
  glovebox_terminals: ['Open terminals.', ({ terminals }) => terminals],
  glovebox_pool_ready: ['Sandboxes ready for new sessions.', ({ pool }) => pool.ready],
  glovebox_pool_size: ['Target number of sandboxes in the pool.', ({ pool }) => pool.size],
  glovebox_memory_limit_bytes: [
    'Sum of the memory limits of all sandboxes.',
    ({ claimedMb }) => claimedMb * BYTES_PER_MIB,
  ],
  glovebox_preload_bytes: [
    'Memory for what other sessions used of late and the own one has not used yet.',
    ({ preload }) => preload.bytes,
  ],
  glovebox_preload_limit_bytes: ['Highest value of preload_bytes.', ({ preload }) => preload.limit],
  glovebox_preload_sandboxes: ['Sandboxes that hold some of preload_bytes.', ({ preload }) => preload.sandboxes],
  glovebox_preload_failures: [
    'Modules that could not be loaded beforehand since the start.',
    ({ preload }) => preload.failures,
  ],
  glovebox_archive_bytes: [
    'Size of all archives: hibernated sessions, checkpoints, snapshots.',
    ({ archives }) => archives.bytes,
  ],
  glovebox_archive_limit_bytes: ['Highest value of archive_bytes.', ({ archives }) => archives.limitBytes],
  glovebox_approvals_waiting: ['Questions of code that wait for a person.', (figures) => figures.approvalsWaiting],
  glovebox_audit_entries_waiting: [
    'Entries that wait to be written to the audit log.',
    ({ audit }) => audit?.waiting ?? 0,
  ],
  glovebox_audit_entries_lost: [
    'Entries that the audit log lost since the start, because it could not be written.',
    ({ audit }) => audit?.lost ?? 0,
  ],
  glovebox_audit_log_failing: [
    'Whether the audit log could not be written when that was last tried.',
    ({ audit }) => Number(audit?.isFailing ?? false),
  ],
  glovebox_issuer_failing: [
    'Whether the keys of the identity provider could not be fetched when that was last tried.',
    ({ isIssuerFailing }) => Number(isIssuerFailing ?? false),
  ],
  glovebox_executions_running: ['Executions that are running.', ({ executions }) => executions.running],
  glovebox_executions_waiting: ['Executions that wait to run.', ({ executions }) => executions.waiting],
  glovebox_executions_places: ['Executions that may run at once.', ({ executions }) => executions.places],
  glovebox_package_cache_bytes: ['Size of the cache of packages.', ({ packages }) => packages?.cacheBytes ?? 0],
  process_resident_memory_bytes: ['Memory of the control plane.', ({ process }) => process.memoryBytes],
  process_start_time_seconds: ['When the control plane started, since 1970.', ({ process }) => process.startedAtS],
};

/** Gauges with labels. */
export const LABELLED: Table<Samples> = {
  glovebox_build_info: ['1, with the version of this server.', ({ version }) => [[{ version }, 1]]],
  glovebox_event_loop_delay_seconds: [
    'Delay of the event loop since the last scrape.',
    ({ eventLoop: { maxS, quantilesS } }) => [
      ...[...quantilesS].map(([quantile, delayS]) => [{ quantile: String(quantile) }, delayS] as const),
      [{ quantile: '1' }, maxS],
    ],
  ],
  glovebox_sandbox_missing: [
    'Protections that sandboxes lack, as GLOVEBOX_ALLOW_MISSING allows.',
    ({ missing = [] }) => missing.map((protection) => [{ protection }, 1]),
  ],
};

/** Counters of which another part of the server keeps count. */
export const COUNTERS: Table<Samples> = {
  glovebox_package_requests_total: [
    'Pages, files and metadata of packages, by whether they came from the cache or an index.',
    ({ packages }) => [
      [{ kind: 'page', from: 'cache' }, packages?.pageHits ?? 0],
      [{ kind: 'page', from: 'index' }, packages?.pageRequests ?? 0],
      [{ kind: 'file', from: 'cache' }, packages?.fileHits ?? 0],
      [{ kind: 'file', from: 'index' }, packages?.fileRequests ?? 0],
      [{ kind: 'metadata', from: 'index' }, packages?.metadataRequests ?? 0],
    ],
  ],
  glovebox_package_failures_total: [
    'Requests of sandboxes for packages that failed because an index, the disk or the gateway did.',
    ({ packages }) => [[{}, packages?.failures ?? 0]],
  ],
  glovebox_package_bytes_total: [
    'Bytes that were fetched from indexes, and served to sandboxes.',
    ({ packages }) => [
      [{ direction: 'fetched' }, packages?.bytesFetched ?? 0],
      [{ direction: 'served' }, packages?.bytesServed ?? 0],
    ],
  ],
  process_cpu_seconds_total: ['Processor time of the control plane.', ({ process }) => [[{}, process.cpuS]]],
};
