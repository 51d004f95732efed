interface Lifetimes {
  readonly idleTtlS: number;
  readonly hibernateAfterS: number;
  readonly archiveTtlS: number;
  readonly diskMb: number;
  /** Whether code may reach any hosts. */
  readonly hasWeb?: boolean;
}

/** Writes the instructions for the model. Together with the tools' descriptions, they have less than 1000 tokens. */
export function writeInstructions({ idleTtlS, hibernateAfterS, archiveTtlS, diskMb, hasWeb }: Lifetimes): string {
  const hibernates = hibernateAfterS > 0 && hibernateAfterS < idleTtlS;
  const memory = describeDuration(idleTtlS);
  const files = hibernates ? `${describeDuration(archiveTtlS)}, contexts for ${memory}` : memory;
  return [
    'Glovebox runs untrusted Python and shell commands in sealed containers.',
    `A session is a container of your own. Files in /workspace (${diskMb} MB) and installed packages are kept until it is unused for ${files}.`,
    'Every result has a session_id. Pass it to continue in the same session. Without it you may get a new, empty one.',
    `${hasWeb ? 'There is no network but a proxy to some hosts.' : 'There is no network: no downloads, no web requests.'} Each execute_python call is a new process, unless you name a context, which keeps variables. Use write_file and read_file to move files in and out.`,
    'A Python error or a failed command is a normal result with status "error". A tool error says what to do next.',
    'If a result has session_reset, what it lists as lost no longer exists. Create it again.',
    'After session_not_found, execute_python without session_id starts a new session.',
  ].join('\n');
}

interface ToolServer {
  readonly name: string;
  readonly description: string;
  readonly isDefault: boolean;
}

/** Writes what instructions say of servers whose tools code may call: a line for each. Empty if there are none. */
export function describeToolServers(servers: readonly ToolServer[]): string {
  if (servers.length === 0) return '';
  const lines = servers.map(({ name, description, isDefault }) => {
    const how = isDefault ? '' : ` (only with tools: [${JSON.stringify(name)}])`;
    return `- ${name}${how}${description ? `: ${description}` : ''}`;
  });
  return [
    'Code can call tools of the servers below, as in: import tools; tools.NAME.TOOL(argument=1). search_tools finds them.',
    'Use that for several calls, and for results that code filters, joins or plots: only what you print comes back.',
    ...lines,
  ].join('\n');
}

/**
 * Writes what instructions say of the hosts that code may reach.
 * @param hosts their patterns; empty for none
 * @param withSecrets addresses whose requests get a secret on their way out
 */
export function describeHosts(hosts: string, withSecrets: readonly string[]): string {
  if (hosts === '') return '';
  const added = `Credentials are added outside, over TLS, to requests that begin with ${withSecrets.join(' or ')}: write these with http://, and no credentials.`;
  return `Code can reach these hosts, and no others, through the proxy that HTTPS_PROXY names: ${hosts}. requests, httpx, aiohttp, urllib, pandas, curl and git use it by themselves; names are not resolved inside.${withSecrets.length > 0 ? ` ${added}` : ''}`;
}

function describeDuration(seconds: number): string {
  if (seconds >= 2 * 86_400) return `${Math.round(seconds / 86_400)} days`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds)} seconds`;
}
