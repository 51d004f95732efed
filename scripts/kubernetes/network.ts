import { existsSync } from 'node:fs';
import { runCommand } from '../../src/lib/run-command.ts';
import { type Layout, NODES, type NodeName } from './layout.ts';

/** Where the kernel has the packets within a bridge pass the rules of the firewall. */
const FILTERED_BRIDGES = '/proc/sys/net/bridge/bridge-nf-call-iptables';

/**
 * Makes a bridge that nothing else is at, with a line to a network namespace for each node. Kubelets refuse addresses of the
 * loopback, hence real ones; all of it stays on this machine.
 */
export async function createNetwork(layout: Layout): Promise<void> {
  const { bridge } = layout;
  await ip('link', 'add', bridge, 'type', 'bridge');
  await ip('address', 'add', `${layout.hostAddress}/24`, 'dev', bridge);
  await ip('address', 'add', `${layout.apiAddress}/32`, 'dev', bridge);
  await ip('link', 'set', bridge, 'up');
  await letNodesMeet(bridge);
  for (const node of NODES) await connectNode(layout, node);
}

async function connectNode(layout: Layout, node: NodeName): Promise<void> {
  const namespace = layout.nodeId(node);
  const line = layout.line(node);
  await ip('netns', 'add', namespace);
  await ip('link', 'add', line, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  await ip('link', 'set', line, 'master', layout.bridge, 'up');
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'address', 'add', `${layout.nodeAddress(node)}/24`, 'dev', 'eth0');
  await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  await ip('-n', namespace, 'route', 'add', layout.apiAddress, 'dev', 'eth0');
}

/** Docker has the firewall drop what it forwards, and so what one node sends to another, unless a rule says otherwise. */
async function letNodesMeet(bridge: string): Promise<void> {
  if (!existsSync(FILTERED_BRIDGES)) return;
  const { code, stderr } = await runCommand('iptables', ruleOf('--insert', bridge));
  if (code !== 0) throw new Error(`The firewall of this machine does not let nodes meet: ${stderr.trim()}`);
}

function ruleOf(change: '--insert' | '--delete', bridge: string): string[] {
  return ['--wait', change, 'FORWARD', '--in-interface', bridge, '--out-interface', bridge, '--jump', 'ACCEPT'];
}

/** Cuts a node off: packets disappear, no connection ends. */
export async function cutLine(layout: Layout, node: NodeName): Promise<void> {
  await ip('link', 'set', layout.line(node), 'down');
}

export async function joinLine(layout: Layout, node: NodeName): Promise<void> {
  await ip('link', 'set', layout.line(node), 'up');
}

/** Removes what there is of a network. */
export async function removeNetwork(layout: Layout): Promise<void> {
  for (const node of NODES) await runCommand('ip', ['netns', 'delete', layout.nodeId(node)]);
  for (const node of NODES) await runCommand('ip', ['link', 'delete', layout.line(node)]);
  await runCommand('ip', ['link', 'delete', layout.bridge]);
  if (existsSync(FILTERED_BRIDGES)) await runCommand('iptables', ruleOf('--delete', layout.bridge));
}

async function ip(...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand('ip', args);
  if (code !== 0) throw new Error(`"ip ${args.join(' ')}" failed: ${stderr.trim()}`);
}
