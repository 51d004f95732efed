import { type IndexLocation, parseIndexLocation } from '../index/index-location.ts';
import { loadAuthorities } from '../upstream/authorities.ts';
import { proxyFor } from '../upstream/proxy.ts';
import { Policy, type PolicyOptions } from './policy.ts';

/** Where packages come from, and which may be installed. */
export interface Sources extends PolicyOptions {
  /** In order: of the indexes that have a project, the first is the one used for it. Web addresses or directories. */
  readonly indexUrls: readonly string[];
  /** Certificate authorities to trust besides the usual ones: a PEM file. */
  readonly caFile?: string | undefined;
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` in either case. */
  readonly proxy: Readonly<Record<string, string>>;
}

export interface CheckedSources {
  readonly locations: readonly IndexLocation[];
  /** Those of them that are web addresses. */
  readonly configured: readonly URL[];
  readonly policy: Policy;
}

/**
 * Reads what the settings say, at the start and not at the first installation. Opens nothing.
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
