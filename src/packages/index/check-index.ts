import { GloveboxError } from '../../errors.ts';
import { DEFAULT_LIMITS } from '../upstream/limits.ts';
import { Problem } from '../upstream/problem.ts';
import { Upstream, type UpstreamOptions } from '../upstream/upstream.ts';
import { parseIndexLocation } from './index-location.ts';

/** A project that a large index has; one that has it not answers all the same. */
const PROJECT = 'pip/';
const REFUSED = [401, 403, 407];

/**
 * Asks a package index of the configuration as the gateway would; who it is, without credentials, when it answers.
 * @throws GloveboxError `invalid_input` for what is no index, refuses, or does not answer
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
    const { status, body } = await upstream.request(page, { method: 'HEAD', signal, unproven: true });
    body.destroy();
    if (!REFUSED.includes(status) && status < 500) return location.host;
    throw unusable(`${location.host} answers with status ${status}.`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw unusable(`${location.host}: ${error.message}`, error);
  } finally {
    upstream.close();
  }
}

function unusable(message: string, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', message, {
    hint: 'Correct GLOVEBOX_INDEX_URL, with the credentials that it may need, HTTPS_PROXY or SSL_CERT_FILE.',
    cause,
  });
}
