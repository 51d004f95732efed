import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureGoProgram } from '../go-program.ts';

const SOURCES = fileURLToPath(new URL('program', import.meta.url));

/**
 * Returns the path of the program that has all parts of Kubernetes and etcd. It is built once, by the Go of this machine:
 * 15 minutes of processor time where Go has none of it compiled yet.
 * @throws Error when it cannot be built
 */
export async function ensureProgram(report: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const program = {
    title: 'Kubernetes',
    name: 'kube',
    sources: SOURCES,
    cache: 'glovebox-kubernetes',
    takes: 'eight minutes',
    linkerFlags: linkerFlags(readFileSync(join(SOURCES, 'go.mod'), 'utf8')),
  };
  return await ensureGoProgram(program, report, signal);
}

/** Without its version, the API server says that it is 0.0, and refuses what it knows well. */
export function linkerFlags(goMod: string): string[] {
  const version = /^\s*(?:require )?k8s\.io\/kubernetes (v1\.(\d+)\.\d+)$/m.exec(goMod);
  if (!version) throw new Error('go.mod names no version of k8s.io/kubernetes.');
  const [, full, minor] = version;
  const of = 'k8s.io/component-base/version';
  const values = [`${of}.gitVersion=${full}`, `${of}.gitMajor=1`, `${of}.gitMinor=${minor}`];
  return [...values, `k8s.io/client-go/pkg/version.gitVersion=${full}`].map((value) => `-X ${value}`);
}
