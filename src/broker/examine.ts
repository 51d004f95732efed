import type { Finding } from '../lib/finding.ts';
import { Broker, type BrokerOptions, type ServerState } from './broker.ts';

const WHAT = 'tools';
/** Time in milliseconds for servers to answer. A command may have to install itself first. */
const LIMIT_MS = 60_000;

/**
 * Tells of each tool server whether it answers, by its name only.
 * @throws GloveboxError `invalid_input` that says what is wrong with the file
 */
export async function examineTools(options: BrokerOptions, limitMs = LIMIT_MS): Promise<readonly Finding[]> {
  if (options.file === undefined) return [];
  await using broker = Broker.open({ ...options, localOwner: options.localOwner ?? '' });
  const states = await broker.inspect(AbortSignal.timeout(limitMs));
  const hasKeys = options.localOwner === undefined;
  return states.flatMap((state) => describe(state, hasKeys));
}

function describe(state: ServerState, hasKeys: boolean): Finding[] {
  const { name, owners, isShared, tools = 0, changed = [], error } = state;
  const findings: Finding[] = [];
  if (error) findings.push(['warn', WHAT, error.message, error.hint]);
  else if (isShared) findings.push(['ok', WHAT, `${name} answers, with ${tools} tool${tools === 1 ? '' : 's'}`]);
  else findings.push(['ok', WHAT, `${name} has the credentials of each owner, and is not asked here`]);
  if (changed.length > 0) {
    const names = changed.slice(0, 5).join(', ');
    const next = `Look at them. To trust them, remove them from tool-pins/${name}.json in the state directory.`;
    findings.push(['warn', WHAT, `${name} has changed tools since they were trusted: ${names}`, next]);
  }
  if (hasKeys && owners.length === 0)
    findings.push(['warn', WHAT, `nobody may use ${name}`, 'Name keys in "owners", or write "owners": ["*"] for all.']);
  return findings;
}
