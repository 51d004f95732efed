import { loadAuthorities } from '../../outbound/authorities.ts';
import { proxyFor } from '../../outbound/proxy.ts';
import { type IndexLocation, parseIndexLocation } from '../index/index-location.ts';
import { Policy, type PolicyOptions } from './policy.ts';

/** Where packages come from, and which may be installed. */
export interface Sources extends PolicyOptions {
  /** URLs or directories of the indexes. For each project, the first index that has it is used. */
  readonly indexUrls: readonly string[];
  /** Path of a PEM file with certificate authorities to trust, besides those of Node. */
  readonly caFile?: string | undefined;
  /** The variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in upper or lower case. */
  readonly proxy: Readonly<Record<string, string>>;
}

export interface CheckedSources {
  readonly locations: readonly IndexLocation[];
  /** URLs among the locations. */
  readonly configured: readonly URL[];
  readonly policy: Policy;
}

/**
 * Checks the settings at the start, and not at the first installation. Sends no request.
 * @throws GloveboxError `invalid_input` for an index, policy entry, CA file or proxy that cannot be used
 */
export function checkSources(sources: Sources): CheckedSources {
  const locations = sources.indexUrls.map(parseIndexLocation);
  const configured = locations.filter((location) => location instanceof URL);
  const policy = new Policy(sources);
  loadAuthorities(sources.caFile);
  for (const url of configured) proxyFor(url, sources.proxy);
  return { locations, configured, policy };
}
