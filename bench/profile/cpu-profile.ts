/** What the inspector of Node tells of a window, as far as it is used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  /** Ids of nodes. */
  readonly samples: readonly number[];
  /** Microseconds, one before each sample. */
  readonly timeDeltas: readonly number[];
}

/** Where the time outside of JavaScript is. */
const NATIVE = 'native code: sockets, pipes, compiler';
const SPECIAL: Readonly<Record<string, string | undefined>> = {
  '(program)': NATIVE,
  '(garbage collector)': 'garbage collector',
  // Nothing runs.
  '(idle)': undefined,
  '(root)': undefined,
};

/** Milliseconds by module, the largest first: a folder of ours, a library, or a part of Node. */
export function foldByModule({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const modules = new Map(nodes.map(({ id, callFrame }) => [id, moduleOf(callFrame.functionName, callFrame.url)]));
  const sums = new Map<string, number>();
  for (const [at, id] of samples.entries()) {
    const module = modules.get(id);
    if (module !== undefined) sums.set(module, (sums.get(module) ?? 0) + (timeDeltas[at] ?? 0) / 1000);
  }
  return new Map([...sums].sort(([, a], [, b]) => b - a));
}

/** Undefined for what is no work. */
export function moduleOf(functionName: string, url: string): string | undefined {
  if (functionName in SPECIAL) return SPECIAL[functionName];
  const library = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (library !== undefined) return library;
  const own = /\/dist\/(?:([^/]+)\/)?[^/]+$/.exec(url.replace(/(\/dist\/[^/]+)\/.*\//, '$1/'));
  if (own) return own[1] === undefined ? 'src' : `src/${own[1]}`;
  if (url.startsWith('node:')) return `node:${partOfNode(url.slice('node:'.length))}`;
  return NATIVE;
}

/** `http` of `_http_outgoing`, `streams` of `internal/streams/readable`. */
function partOfNode(path: string): string {
  const [first = '', second] = path.split('/');
  return (first === 'internal' ? (second ?? first) : first).replace(/^_?(http|tls|stream).*/, '$1');
}
