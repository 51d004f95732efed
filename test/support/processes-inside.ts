import type Docker from 'dockerode';
import { MAIN_UID, shellExecOptions } from '../../src/engines/docker/hardening/spec.ts';
import { runForOutput } from '../../src/engines/docker/user-processes.ts';

/** A process of a container. */
export interface SeenProcess {
  readonly uid: number;
  readonly state: string;
  readonly args: string;
}

/** What the main user of a container sees of its processes, but for the one that looks. */
export const LOOK = `
import json, os
def read(path):
    try:
        with open(path, 'rb') as file: return file.read().decode(errors='replace')
    except OSError: return ''
def describe(pid):
    status = dict(line.split(':\\t', 1) for line in read(f'/proc/{pid}/status').splitlines() if ':\\t' in line)
    args = read(f'/proc/{pid}/cmdline').replace('\\0', ' ').strip()
    return {'uid': int(status['Uid'].split()[0]), 'state': status['State'], 'args': args or f"[{status['Name']}]"} if 'Uid' in status else None
print(json.dumps([seen for pid in os.listdir('/proc') if pid.isdigit() and int(pid) != os.getpid() and (seen := describe(pid))]))`;

/** The processes of a container of gVisor, of which the engine sees none. */
export async function listProcessesInside(container: Docker.Container): Promise<SeenProcess[]> {
  const options = shellExecOptions(MAIN_UID, 'exec python3 -c "$CODE"');
  return JSON.parse(await runForOutput(container, { ...options, Env: [`CODE=${LOOK}`] })) as SeenProcess[];
}
