/** Counts of what the gateway has done since its start. */
export interface GatewayTraffic {
  /** Requests to an index for pages. */
  pageRequests: number;
  /** Requests to an index for package files. */
  fileRequests: number;
  /** Requests to an index for metadata. */
  metadataRequests: number;
  /** Pages answered from the cache. */
  pageHits: number;
  /** Files answered from the cache. */
  fileHits: number;
  /** Requests of sandboxes that failed because an index, the disk or the gateway did. */
  failures: number;
  /** Bytes received from indexes. */
  bytesFetched: number;
  /** Bytes sent to sandboxes. */
  bytesServed: number;
}

export function noTraffic(): GatewayTraffic {
  return {
    pageRequests: 0,
    fileRequests: 0,
    metadataRequests: 0,
    pageHits: 0,
    fileHits: 0,
    failures: 0,
    bytesFetched: 0,
    bytesServed: 0,
  };
}
