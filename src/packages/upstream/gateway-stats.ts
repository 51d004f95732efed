/** What the gateway did since it began. */
export interface GatewayTraffic {
  /** Pages, files and metadata asked of an index. */
  pageRequests: number;
  fileRequests: number;
  metadataRequests: number;
  /** Pages and files answered from the cache. */
  pageHits: number;
  fileHits: number;
  bytesFetched: number;
  bytesServed: number;
}

export function noTraffic(): GatewayTraffic {
  return {
    pageRequests: 0,
    fileRequests: 0,
    metadataRequests: 0,
    pageHits: 0,
    fileHits: 0,
    bytesFetched: 0,
    bytesServed: 0,
  };
}
