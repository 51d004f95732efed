import { GloveboxError } from '../../errors.ts';
import { DEFAULT_LIMITS } from '../upstream/limits.ts';
import { Problem } from '../upstream/problem.ts';
import { Upstream, type UpstreamOptions } from '../upstream/upstream.ts';
import { parseIndexLocation } from './index-location.ts';

/** Project to ask for. Most indexes have it, and one without it answers as well. */
const PROJECT = 'pip/';
/** HTTP statuses that mean a refusal. */
const REFUSED = [401, 403, 407];

/**
 * Sends a request to a configured package index, as the gateway would.
 * @returns the host of the index, or its directory, without credentials
 * @throws GloveboxError `invalid_input` when it is not an index, refuses the request, or does not answer
 */
export async function checkIndex(
  text: string,
  access: Pick<UpstreamOptions, 'caFile' | 'proxy'>,
  signal: AbortSignal,
): Promise<string> {
  const location = parseIndexLocation(text);
  if (typeof location === 'string') return location;
  const upstream = new Upstream({ configured: [location], ...access, limits: DEFAULT_LIMITS });
  try {
    const page = new URL(PROJECT, location.href.endsWith('/') ? location : `${location.href}/`);
    const { status, body } = await upstream.request(page, { method: 'HEAD', signal, unverified: true });
    body.destroy();
    if (!REFUSED.includes(status) && status < 500) return location.host;
    throw unusable(`${location.host} answered with status ${status}.`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw unusable(`${location.host}: ${error.message}`, error);
  } finally {
    upstream.close();
  }
}

function unusable(message: string, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', message, {
    hint: 'Correct GLOVEBOX_INDEX_URL (and its credentials, if it needs any), HTTPS_PROXY or SSL_CERT_FILE.',
    cause,
  });
}
