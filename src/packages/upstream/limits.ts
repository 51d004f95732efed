/** Bounds on what an index may send and a sandbox may ask; all have defaults that suit public indexes. */
export interface GatewayLimits {
  /** Largest package file. */
  readonly fileBytes: number;
  /** Largest page of an index, unpacked. */
  readonly indexPageBytes: number;
  /** Largest METADATA file. */
  readonly metadataBytes: number;
  /** Time for an index to begin an answer, redirects not counted. */
  readonly responseMs: number;
  /** Time for a whole page. */
  readonly pageMs: number;
  /** A download that brings less than `stallBytes` in this time is given up. */
  readonly stallMs: number;
  readonly stallBytes: number;
  /** A page younger than this is not asked for again. */
  readonly pageTtlMs: number;
  /** "No such package" and lasting errors are remembered for so long. */
  readonly negativeTtlMs: number;
  /** "Too slow" is remembered for so long: installers ask again at once, and would wait as long each time. */
  readonly slowTtlMs: number;
  /** Pages held in memory, counted in bytes of their text. */
  readonly pageMemoryBytes: number;
  /** Files up to this size are checked before their first byte is sent, so that a bad one gets a readable answer. */
  readonly heldBackBytes: number;
  /** Open connections of one session. */
  readonly connectionsPerClient: number;
  /** Requests of one session: a burst, and how many come back each second. */
  readonly requestBurst: number;
  readonly requestsPerSecond: number;
  /** A connection without a request, or that takes no bytes, is closed after this. */
  readonly clientIdleMs: number;
  /** Time for the head of a request to arrive. */
  readonly headersMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: GatewayLimits = {
  fileBytes: 4096 * MIB,
  indexPageBytes: 16 * MIB,
  metadataBytes: 4 * MIB,
  responseMs: 20_000,
  pageMs: 60_000,
  stallMs: 30_000,
  stallBytes: 16_384,
  pageTtlMs: 600_000,
  negativeTtlMs: 60_000,
  slowTtlMs: 10_000,
  pageMemoryBytes: 64 * MIB,
  heldBackBytes: 4 * MIB,
  connectionsPerClient: 100,
  requestBurst: 4000,
  requestsPerSecond: 200,
  clientIdleMs: 60_000,
  headersMs: 10_000,
};
