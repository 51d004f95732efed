import type { WebAccess } from '../../egress/web-access.ts';
import { GloveboxError } from '../../errors.ts';
import type { SessionIdentity } from '../identity.ts';

type Patterns = readonly string[] | undefined;

/**
 * Returns the patterns to which a new session is narrowed, in their usual form.
 * @param within patterns of the session or snapshot that it is made from
 * @throws GloveboxError `invalid_input` for a pattern that its owner may not reach
 */
type Narrow = (owner: string, patterns: Patterns, within?: Patterns) => Patterns;

export function narrowingBy(web: WebAccess | undefined): Narrow {
  return (owner, patterns, within) => {
    if (!patterns) return within;
    if (patterns.length === 0) return [];
    if (web) return web.narrow(owner, patterns, within);
    throw new GloveboxError('invalid_input', 'Code here may reach no other hosts.', {
      hint: 'Leave out "web". The operator names hosts with GLOVEBOX_EGRESS.',
    });
  };
}

/** Checks that a session that exists already has these patterns. @throws GloveboxError `invalid_input` */
export function checkSame({ id, webPatterns }: SessionIdentity, patterns: readonly string[] | undefined): void {
  if (!patterns || (webPatterns && listed(webPatterns) === listed(patterns))) return;
  throw new GloveboxError('invalid_input', `The session ${id} exists already, with other hosts that it may reach.`, {
    hint: `They stay for its life${webPatterns ? `: ${webPatterns.join(', ') || 'none'}` : ''}. Leave out "web", or choose another name.`,
  });
}

function listed(patterns: readonly string[]): string {
  return [...patterns].sort().join('\n');
}
