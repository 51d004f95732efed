/** Limits on the answers of an index and on the requests of a sandbox. The defaults suit public indexes. */
export interface GatewayLimits {
  /** Size of a package file, in bytes. */
  readonly fileBytes: number;
  /** Size of a page of an index in bytes, uncompressed. */
  readonly indexPageBytes: number;
  /** Size of a METADATA file, in bytes. */
  readonly metadataBytes: number;
  /** Time for an index to begin an answer, in milliseconds, for each redirect anew. */
  readonly responseMs: number;
  /** Time for a whole page, in milliseconds. */
  readonly pageMs: number;
  /** Interval in milliseconds in which a download must bring `stallBytes`, or is aborted. */
  readonly stallMs: number;
  /** Bytes that a download must bring in `stallMs`. */
  readonly stallBytes: number;
  /** Age in milliseconds up to which a page is used without asking the index again. */
  readonly pageTtlMs: number;
  /** Time in milliseconds for which "no such package" and permanent errors are remembered. */
  readonly negativeTtlMs: number;
  /** Time in milliseconds for which timeouts are remembered: installers retry at once, and would wait each time. */
  readonly slowTtlMs: number;
  /** Size of all pages kept in memory, in bytes of their text. */
  readonly pageMemoryBytes: number;
  /** Size in bytes up to which a file is checked before it is sent, so that a bad one gets an error message. */
  readonly heldBackBytes: number;
  /** Open connections that one session may have. */
  readonly connectionsPerClient: number;
  /** Requests that one session may send at once (the size of its token bucket). */
  readonly requestBurst: number;
  /** Requests that one session may send each second in the long run (the refill rate of its token bucket). */
  readonly requestsPerSecond: number;
  /** Time in milliseconds after which a connection without a request, or whose client reads nothing, is closed. */
  readonly clientIdleMs: number;
  /** Time for the headers of a request to arrive, in milliseconds. */
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
